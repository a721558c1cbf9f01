"""Decide whether two answers state the same: read them as trees, compare the trees exactly.

`tokens` cuts an answer into tokens, `expression` reads expressions, `forms` reads what stands
around them (lists, intervals, matrices, relations), `compare` compares forms, `decide` compares
expressions. Every step is bounded; nothing is ever handed to Python as source text.
"""

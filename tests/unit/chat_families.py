"""Chat templates in the manner of four families, made tiny, with tokenizers of single characters.

Each has what makes its family special: thoughts that history loses (Qwen 3), a start token that the
tokenizer adds as well and today's date (Llama 3), trimmed turns and roles that must alternate
(Gemma), and a blank before the answer (Mistral).
"""

import string
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.unit.tiny_models import word_tokenizer

CHATML = (
    "{%- set ns = namespace(last=0) -%}"
    "{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set ns.last = loop.index0 -%}"
    "{%- endif -%}{%- endfor -%}"
    "{%- for m in messages -%}"
    "{%- set said = m.content.split('</think>')[-1].lstrip('\\n') -%}"
    "{%- set thought = m.content.split('</think>')[0].split('<think>')[-1] "
    "if '</think>' in m.content else '' -%}"
    "{{- '<|im_start|>' + m.role + '\\n' -}}"
    "{%- if m.role == 'user' -%}{{- m.content -}}"
    "{%- elif loop.index0 > ns.last -%}"
    "{{- '<think>\\n' + thought.strip() + '\\n</think>\\n\\n' + said -}}"
    "{%- else -%}{{- said -}}{%- endif -%}"
    "{{- '<|im_end|>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}"
)
LLAMA3 = (
    "{{- bos_token -}}"
    "{%- set day = strftime_now('%d %b %Y') if strftime_now is defined else '26 Jul 2024' -%}"
    "{{- '<|header|>system<|/header|>\\n\\nToday: ' + day + '<|eot|>' -}}"
    "{%- for m in messages -%}"
    "{{- '<|header|>' + m.role + '<|/header|>\\n\\n' + m.content | trim + '<|eot|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|header|>assistant<|/header|>\\n\\n' -}}{%- endif -%}"
)
GEMMA = (
    "{{- bos_token -}}"
    "{%- for m in messages -%}"
    "{%- if (m.role == 'user') != (loop.index0 % 2 == 0) -%}"
    "{{- raise_exception('roles must alternate') -}}{%- endif -%}"
    "{%- set role = 'model' if m.role == 'assistant' else m.role -%}"
    "{{- '<turn>' + role + '\\n' + m.content | trim + '</turn>\\n' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<turn>model\\n' -}}{%- endif -%}"
)
MISTRAL = (
    "{{- bos_token -}}"
    "{%- for m in messages -%}"
    "{%- if m.role == 'user' -%}{{- '[INST] ' + m.content + ' [/INST]' -}}"
    "{%- else -%}{{- ' ' + m.content + eos_token -}}{%- endif -%}"
    "{%- endfor -%}"
)


@dataclass(frozen=True)
class Family:
    """A template, its own tokens, the one that ends an answer, and what is before the answer."""

    template: str
    tokens: tuple[str, ...]
    end: str
    opening: str = ""
    bos: bool = True


FAMILIES = {
    "chatml": Family(
        CHATML, ("<|im_start|>", "<|im_end|>"), "<|im_end|>", "<think>\n\n</think>\n\n", bos=False
    ),
    "llama3": Family(LLAMA3, ("<|header|>", "<|/header|>", "<|eot|>"), "<|eot|>"),
    "gemma": Family(GEMMA, ("<turn>", "</turn>"), "</turn>"),
    "mistral": Family(MISTRAL, ("[INST]", "[/INST]"), "<eos>", " "),
}


@cache
def chat_tokenizer(name: str) -> Any:
    """Return the tokenizer of a family; two line ends in a row are one token."""
    family = FAMILIES[name]
    tokenizer = word_tokenizer(["\n\n", *string.printable], "\n\n|.|\n")
    tokenizer.add_special_tokens({"additional_special_tokens": list(family.tokens)})
    tokenizer.add_tokens(["<think>", "</think>"])
    if not family.bos:
        tokenizer.backend_tokenizer.post_processor = None
        tokenizer.bos_token = None
    tokenizer.chat_template = family.template
    return tokenizer

"""A changed key is named once, with the part of its values that differs."""

from restem.staleness.reasons import changed_keys, differing_keys


def test_keys_of_nested_settings_are_named_with_both_values() -> None:
    old = {"training": {"patience": 3, "seed": 0}, "same": [1]}
    new = {"training": {"patience": 4, "seed": 0}, "same": [1], "more": True}
    assert list(changed_keys(old, new)) == [
        ("more", '"default" -> true'),
        ("training.patience", "3 -> 4"),
    ]


def test_long_values_are_cut_to_where_they_begin_to_differ() -> None:
    common = [f"problem {i}" for i in range(100)]
    ((key, before, after),) = differing_keys({"a": [*common, "x"]}, {"a": [*common, "y", "z"]})
    assert key == "a" and before != after
    assert before.endswith('"x"]') and after.endswith('"y", "z"]')
    assert max(len(before), len(after)) <= 61


def test_a_block_that_one_side_leaves_empty_is_named_by_its_keys() -> None:
    assert list(differing_keys({"selection": {}}, {"selection": {"cap": 4}})) == [
        ("selection.cap", '"default"', "4")
    ]

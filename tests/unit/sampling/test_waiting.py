from restem.sampling.engine import Request
from restem.sampling.transformers.waiting import Item, Waiting, alike


def item(name: str, draws: int, tokens: int = 3) -> Item:
    request = Request(name, "", "x", tuple(range(draws)), tuple(range(draws)))
    return Item(request, [1] * tokens, range(draws))


def taken(waiting: Waiting, free: int) -> list[tuple[str, list[int]]]:
    return [(one.request.problem_id, list(one.draws)) for one in waiting.take(free)]


def test_draws_of_a_request_go_together_where_they_fit() -> None:
    waiting = Waiting([item("a", 3), item("b", 3), item("c", 3)], slots=8)
    assert taken(waiting, 8) == [("a", [0, 1, 2]), ("b", [0, 1, 2])]
    assert taken(waiting, 2) == []
    assert taken(waiting, 3) == [("c", [0, 1, 2])]
    assert not waiting
    assert taken(waiting, 8) == []


def test_a_request_that_is_wider_than_the_slots_is_split() -> None:
    waiting = Waiting([item("a", 11)], slots=4)
    parts = []
    while waiting:
        parts += taken(waiting, 4)
    assert parts == [("a", [0, 1, 2, 3]), ("a", [4, 5, 6, 7]), ("a", [8, 9, 10])]


def test_every_draw_is_handed_out_once_however_slots_come_free() -> None:
    waiting = Waiting([item(str(n), n % 5 + 1) for n in range(40)], slots=16)
    found, free = [], 16
    for step in range(1000):
        found += [(name, draw) for name, draws in taken(waiting, free) for draw in draws]
        free = (step * 7) % 17
    assert not waiting
    assert len(found) == len(set(found)) == sum(n % 5 + 1 for n in range(40))


def test_a_few_free_slots_wait_for_more() -> None:
    waiting = Waiting([item(str(n), 1) for n in range(200)], slots=80)
    assert taken(waiting, 9) == []
    assert len(taken(waiting, 10)) == 10


def test_prompts_of_one_length_go_together() -> None:
    members = [(item(str(n), 1).request, [1] * n) for n in (10, 20, 31, 32, 60, 500)]
    groups = [[len(one.tokens) for one in group] for group in alike(members, 0)]
    assert groups == [[10, 20, 31], [32, 60], [500]]
    assert list(alike([], 0)) == []

from restem.sampling.engine import Request
from restem.sampling.transformers.scheduling import DrawQueue, PendingDraws, group_by_length


def pending(name: str, draws: int, tokens: int = 3) -> PendingDraws:
    request = Request(name, "", "x", tuple(range(draws)), tuple(range(draws)))
    return PendingDraws(request, [1] * tokens, range(draws))


def taken(queue: DrawQueue, free: int) -> list[tuple[str, list[int]]]:
    return [(part.request.problem_id, list(part.draws)) for part in queue.take(free)]


def test_draws_of_a_request_go_together_where_they_fit() -> None:
    queue = DrawQueue([pending("a", 3), pending("b", 3), pending("c", 3)], slots=8)
    assert taken(queue, 8) == [("a", [0, 1, 2]), ("b", [0, 1, 2])]
    assert taken(queue, 2) == []
    assert taken(queue, 3) == [("c", [0, 1, 2])]
    assert not queue
    assert taken(queue, 8) == []


def test_a_request_that_is_wider_than_the_slots_is_split() -> None:
    queue = DrawQueue([pending("a", 11)], slots=4)
    parts = []
    while queue:
        parts += taken(queue, 4)
    assert parts == [("a", [0, 1, 2, 3]), ("a", [4, 5, 6, 7]), ("a", [8, 9, 10])]


def test_every_draw_is_handed_out_once_however_slots_come_free() -> None:
    queue = DrawQueue([pending(str(n), n % 5 + 1) for n in range(40)], slots=16)
    draws_taken, free = [], 16
    for step in range(1000):
        draws_taken += [(name, draw) for name, draws in taken(queue, free) for draw in draws]
        free = (step * 7) % 17
    assert not queue
    assert len(draws_taken) == len(set(draws_taken)) == sum(n % 5 + 1 for n in range(40))


def test_a_few_free_slots_wait_for_more() -> None:
    queue = DrawQueue([pending(str(n), 1) for n in range(200)], slots=80)
    assert taken(queue, 9) == []
    assert len(taken(queue, 10)) == 10


def test_prompts_of_one_length_go_together() -> None:
    prompts = [(pending(str(n), 1).request, [1] * n) for n in (10, 20, 31, 32, 60, 500)]
    groups = [[len(part.tokens) for part in group] for group in group_by_length(prompts, 0)]
    assert groups == [[10, 20, 31], [32, 60], [500]]
    assert list(group_by_length([], 0)) == []

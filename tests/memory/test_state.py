"""The bytes of a state: they come back whole, or are refused."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from memory.state import DamagedState, MemoryState


def some_state() -> MemoryState:
    random = torch.Generator().manual_seed(0)
    sums = {f"layers.{i}.o_proj": torch.randn(5, 5, generator=random) for i in range(2)}
    return MemoryState(sums, num_tokens=12, generator="abc")


BYTES = some_state().to_bytes()


def test_bytes_come_back_as_the_same_state() -> None:
    state = MemoryState.from_bytes(BYTES)
    assert (state.num_tokens, state.generator, list(state.sums)) == (12, "abc", list(some_state().sums))
    assert all(torch.equal(s, some_state().sums[name]) for name, s in state.sums.items())


def test_equal_states_have_equal_digests_and_another_token_another() -> None:
    assert some_state().digest == MemoryState.from_bytes(BYTES).digest
    other = some_state()
    other.sums["layers.0.o_proj"][0, 0] += 1
    assert other.digest != some_state().digest


@given(st.integers(0, len(BYTES) - 1))
def test_bytes_cut_short_are_refused(length: int) -> None:
    with pytest.raises(DamagedState):
        MemoryState.from_bytes(BYTES[:length])


@given(st.binary(max_size=200))
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedState):
        MemoryState.from_bytes(data)


def test_a_state_with_a_number_that_is_none_is_refused() -> None:
    state = some_state()
    state.sums["layers.0.o_proj"][1, 1] = float("nan")
    with pytest.raises(DamagedState, match="finite"):
        MemoryState.from_bytes(state.to_bytes())


def test_a_state_of_another_format_is_refused() -> None:
    with pytest.raises(DamagedState, match="remanence-state-1"):
        MemoryState.from_bytes(BYTES.replace(b"remanence-state-1", b"remanence-state-9"))


def test_a_part_that_is_taken_out_leaves_the_rest() -> None:
    """Of a state and itself exactly nothing is left; a part of another generator is refused."""
    whole = some_state()
    nothing = whole.without(whole)
    assert nothing.num_tokens == 0
    assert all(torch.equal(s, torch.zeros(5, 5)) for s in nothing.sums.values())
    part = MemoryState({name: s / 4 for name, s in whole.sums.items()}, num_tokens=3, generator="abc")
    rest = whole.without(part)
    assert rest.num_tokens == 9
    for name, s in whole.sums.items():
        torch.testing.assert_close(rest.sums[name], 0.75 * s)
    with pytest.raises(ValueError, match="expected one of generator abc, got other"):
        whole.without(MemoryState(whole.sums, num_tokens=3, generator="other"))

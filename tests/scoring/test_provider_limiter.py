"""The limiter of a provider, in every state of its circuit breaker."""

import asyncio
import time

import pytest

from eacps.scoring.provider_limiter import CircuitBreaker, CircuitOpen, CircuitState, ProviderLimiter


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(failures=3, pause_s=5.0, longest_s=12.0, clock=clock)


def test_it_opens_after_failures_in_a_row() -> None:
    one = breaker(Clock())
    for _ in range(2):
        one.failed()
    one.succeeded()
    for _ in range(2):
        one.failed()
        assert one.admit()
    one.failed()
    assert one.state is CircuitState.OPEN
    assert not one.admit()


def test_one_call_probes_after_the_pause_and_closes_or_opens_it_for_longer() -> None:
    clock = Clock()
    one = breaker(clock)
    for _ in range(3):
        one.failed()
    for pause_s in (5.0, 10.0, 12.0, 12.0):
        clock.now_s += pause_s - 0.1
        assert not one.admit()
        clock.now_s += 0.2
        assert one.admit()
        assert not one.admit(), "one probe is enough"
        one.failed()
    clock.now_s += 12.1
    assert one.admit()
    one.succeeded()
    assert one.admit()
    assert one.state is CircuitState.CLOSED
    for _ in range(3):
        one.failed()
    clock.now_s += 5.1
    assert one.admit(), "the pause is the first one again"


async def test_a_closed_gate_makes_no_calls_and_a_probe_that_is_cancelled_is_no_answer() -> None:
    clock = Clock()
    limiter = ProviderLimiter(2, breaker=breaker(clock))

    async def fail() -> None:
        async with limiter.call():
            raise ConnectionResetError

    for _ in range(3):
        with pytest.raises(ConnectionResetError):
            await fail()
    with pytest.raises(CircuitOpen):
        await fail()
    clock.now_s += 6

    async def hang() -> None:
        async with limiter.call():
            await asyncio.sleep(60)

    probe = asyncio.create_task(hang())
    await asyncio.sleep(0.01)
    probe.cancel()
    await asyncio.wait({probe})
    assert limiter.breaker.state is CircuitState.OPEN


async def test_calls_are_begun_no_faster_than_allowed() -> None:
    limiter = ProviderLimiter(16, per_second=50.0)

    async def call() -> None:
        async with limiter.call():
            pass

    begun = time.monotonic()
    await asyncio.gather(*(call() for _ in range(11)))
    assert time.monotonic() - begun >= 0.2


@pytest.mark.parametrize("bounds", [{"in_flight": 0}, {"per_second": 0.0}, {"per_second": -1.0}])
def test_bounds_are_above_zero(bounds: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="above 0"):
        ProviderLimiter(**bounds)  # type: ignore[arg-type]

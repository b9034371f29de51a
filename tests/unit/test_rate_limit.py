"""Buckets of tries."""

from backend_server.services.rate_limit import Allowance, RateLimiter


def test_tries_run_out_and_come_back_one_by_one() -> None:
    limiter = RateLimiter(Allowance(tries_max=3, refill_s=10.0))
    assert [limiter.take("a", now_s=100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert limiter.take("a", now_s=100.0) == 10.0
    assert limiter.take("a", now_s=104.0) == 6.0
    assert limiter.take("a", now_s=110.0) == 0.0
    assert limiter.take("a", now_s=110.0) == 10.0
    # After a long while all are back, and no more than all.
    assert [limiter.take("a", now_s=1e6) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert limiter.take("a", now_s=1e6) > 0


def test_waiting_as_told_is_always_enough() -> None:
    limiter = RateLimiter(Allowance(tries_max=1, refill_s=0.1))
    now_s = 1e9
    for _ in range(1000):
        wait_s = limiter.take("a", now_s=now_s)
        if wait_s:
            now_s += wait_s
            assert limiter.take("a", now_s=now_s) == 0.0


def test_keys_do_not_share_tries_and_honest_tries_are_given_back() -> None:
    limiter = RateLimiter(Allowance(tries_max=1, refill_s=10.0))
    assert limiter.take("a", now_s=0.0) == 0.0
    assert limiter.take("b", now_s=0.0) == 0.0
    assert limiter.take("a", now_s=0.0) > 0
    limiter.give_back("a")
    assert limiter.take("a", now_s=0.0) == 0.0


def test_memory_is_bounded_and_the_busiest_keys_stay() -> None:
    limiter = RateLimiter(Allowance(tries_max=1, refill_s=10.0), keys_max=3)
    for key in "abcd":
        limiter.take(key, now_s=0.0)
    assert len(limiter) == 3
    assert limiter.take("d", now_s=0.0) > 0
    assert limiter.take("a", now_s=0.0) == 0.0  # forgotten, so it may try

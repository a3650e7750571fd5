"""Ctrl-C held back, and let through where somebody waits."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from submitit.slurm import shield


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_is_raised_at_the_end_of_the_block() -> None:
    reached = False
    with pytest.raises(KeyboardInterrupt), shield.held():
        interrupt()
        reached = True
    assert reached
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_wins_over_an_error() -> None:
    with pytest.raises(KeyboardInterrupt) as raised, shield.held():
        interrupt()
        raise ValueError("refused")
    assert isinstance(raised.value.__context__, ValueError)


def test_a_second_one_is_raised_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), shield.held():
        interrupt()
        interrupt()
        pytest.fail("not raised")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_pause_lets_it_through() -> None:
    with pytest.raises(KeyboardInterrupt), shield.held():
        interrupt()
        shield.pause(0)
        pytest.fail("not raised")
    with pytest.raises(KeyboardInterrupt), shield.held():
        threading.Timer(0.05, interrupt).start()
        shield.pause(60)
        pytest.fail("not raised")
    with shield.held():
        shield.pause(0)
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler


def test_the_programs_own_handler_is_called_in_the_end() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        with shield.held():
            interrupt()
            assert seen == []
        assert seen == [signal.SIGINT]
    finally:
        signal.signal(signal.SIGINT, before)


def test_ignored_interrupts_stay_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with shield.held():
            interrupt()
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_there_is_nothing_to_hold_back() -> None:
    done: list[bool] = []

    def submit() -> None:
        with shield.held():
            shield.pause(0)
            done.append(signal.getsignal(signal.SIGINT) is signal.default_int_handler)

    thread = threading.Thread(target=submit)
    thread.start()
    thread.join()
    assert done == [True]

"""Work for several threads, which Ctrl-C ends and nothing can hang."""

from __future__ import annotations

import _thread
import collections
import queue


def side_by_side(function, jobs, threads, step=None):
    """[function(job)] for each job, in order, so many at a time; step is called in this thread after each.

    Where threads are as many as jobs, all begin, as ranks wait for each other. Else no further job begins after an error, which
    is that of the first job known to fail, or after Ctrl-C; those that have begun end first.

    This thread waits in C alone. threading and concurrent.futures wait under locks that they share with their threads, and a
    handler of signals may raise between the taking of such a lock and the line that would give it back.
    """
    jobs = list(jobs)
    left, ended, working = collections.deque(range(len(jobs))), queue.SimpleQueue(), []
    all_begin = threads >= len(jobs)

    def work(busy):
        try:
            while left:
                k = left.popleft()
                try:
                    ended.put((k, function(jobs[k]), None))
                except BaseException as error:
                    ended.put((k, None, error))
                    if not all_begin:
                        left.clear()
        except IndexError:  # another took the last one
            pass
        finally:
            busy.release()

    found, failed = [None] * len(jobs), {}

    def take():
        k, result, error = ended.get()
        if error is not None:
            failed[k] = error
            return
        found[k] = result
        if step is not None:
            step()

    try:
        for _ in range(min(threads, len(jobs))):
            busy = _thread.allocate_lock()
            busy.acquire()
            _thread.start_new_thread(work, (busy,))
            working.append(busy)
        for _ in jobs:
            take()
            if failed:
                break
    finally:
        if not all_begin:
            left.clear()
        for busy in working:
            busy.acquire()
    while not ended.empty():
        take()
    if failed:
        raise failed[min(failed)]
    return found

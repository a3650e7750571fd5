"""What ``submitit top`` shows: jobs by state in a terminal, brought up to date once a second.

::

    a thread                                    the event loop
    reader ── views.refresh, scheduler ──▶ jobs ──▶ app ── table (what to show, pure) ──▶ listing (draws what is on the screen)
           ◀── look up these jobs' files ───────────┤
                                                    ├── job_screen: a job's record, and its logs as they grow (tail, pure)
    actions ── submitit cancel, submitit retry ◀────┘   in processes of their own: what they run may print, and wait
"""

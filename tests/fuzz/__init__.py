"""Random inputs of users, tried for minutes: a program, no part of the tests.

    python -m tests.fuzz --minutes 10 --seed 0            # all of it
    python -m tests.fuzz --minutes 2 --only trees

Each module beside this one is an area. It has a function `check`, made by Hypothesis' `given`, that tries one input and
fails where a rule of the area is broken. To add an area, add a module.
"""

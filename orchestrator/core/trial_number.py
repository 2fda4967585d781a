"""How trials are numbered: those of a search from 0 on, and a repeat so that its number says what it repeats."""

# Numbers from here on are repeats: 20003 is trial 3 with the second of the new seeds.
MOST_TRIALS = 10_000


def repeat_number(origin: int, place: int) -> int:
    """The number of a trial's repeat with the new seed at a place, counted from 1."""
    return place * MOST_TRIALS + origin


def origin_and_place(number: int) -> tuple[int, int]:
    """The trial that a number is a repeat of, and the place of its seed; 0 is no repeat but the trial itself."""
    place, origin = divmod(number, MOST_TRIALS)
    return origin, place

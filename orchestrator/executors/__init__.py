"""Where trials run: on Ray, with its workers, scheduler and clusters."""

"""Prompters: who names the defects that an object may have (conf/prompter)."""

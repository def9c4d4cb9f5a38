"""What a check comes to, where the contract is not found to be kept."""


class Broken(Exception):
    """The contract is broken; the text says how, in a sentence."""


class NotLookedAt(Exception):
    """It could not be looked at; the text says why, and what to do."""

"""params."""


def test_x():
    """x."""

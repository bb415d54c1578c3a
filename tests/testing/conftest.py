import pytest

from sigmae.testing import LawBroken


@pytest.fixture(scope="session")
def caught():
    """Asserts that the law of that name raises that sentence."""

    def assert_caught(checks, law, sentence):
        with pytest.raises(LawBroken, match=f"(?s)^{law}: .*{sentence}"):
            dict(checks)[law]()

    return assert_caught

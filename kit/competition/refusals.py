"""What to do about a refusal, by Kaggle's own words."""

from kit.competition.credentials import TOKEN_PAGE

_SETTINGS = TOKEN_PAGE.rsplit("/", 1)[0]
_USED_UP = ("allowance", "per day", "daily", "submission limit", "submissions limit", "limit of submissions")
_CURES = (  # words of an answer, of which one has to occur, and what helps; the first that fits is taken
    (("phone",), f"verify the phone number of this account at {_SETTINGS}, and run this again"),
    (("verify your identity", "identity verif", "persona"), f"verify the identity of this account at {_SETTINGS}"),
    (_USED_UP, "the day's submissions are used up, the count starts anew at 00:00 UTC"),
    (
        ("notebooks only", "from notebooks", "through notebooks", "from a notebook", "via notebook", "from kernels",
         "kernels only", "kernels-only", "code competition", "submit a notebook", "submit from a kernel"),
        "this competition takes submissions only from a notebook on Kaggle: `python -m kit push`, then submit the "
        "output of that notebook on its page",
    ),
    (
        ("deadline", "has ended", "is over", "has closed", "is closed", "not accepting", "no longer accept"),
        "the competition takes no submissions now; its page says whether late ones are allowed",
    ),
)  # fmt: skip


def cure(code: int, words: str, slug: str) -> str:
    """What helps against an answer of status `code` that says `words`, in the competition `slug` if there is one."""
    for signs, helps in _CURES:
        if any(sign in words.lower() for sign in signs):
            return helps
    if code == 404:
        return f"Kaggle knows no such thing: check the name {slug}".rstrip()
    if code == 403 and slug and (not words or any(sign in words.lower() for sign in ("rule", "permission", "accept"))):
        rules = f"https://www.kaggle.com/competitions/{slug}/rules"
        return f"accept the rules at {rules} with the account of these credentials"
    if code == 403:
        return "check the name, and that the account of these credentials may do this"
    return "correct that and run this again"

"""Looks here and at the posts of a cluster: what they find, and, as findings, where they fail."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rsmtl.dispatch.survey import SCHEDULER, Answer, Post, Survey
from rsmtl.doctor.finding import HERE, Finding
from rsmtl.doctor.look import look, travelling

_GRACE_S = 5.0
"""For an answer to travel, and for a busy worker to start a thread."""

_MEND = {
    "source": "let it be reached from there: the path, the network, credentials in the environment",
    "output": "let it be written from there: the path, its permissions, credentials in the environment",
}
"""What to do where a look ends with an error."""


class Places:
    """Here and the posts of a cluster, if there is one."""

    def __init__(self, survey: Survey | None, limit_s: float) -> None:
        self.survey = survey
        self.posts = list(survey.posts) if survey else []
        """That can still be asked."""
        self.limit_s = limit_s
        """Of each look."""
        self.lacking: dict[str, set[str]] = {}
        """By place, packages that are missing there."""
        self.findings: list[Finding] = []

    @property
    def workers(self) -> list[Post]:
        """The posts that run jobs."""
        return [post for post in self.posts if post.name != SCHEDULER]

    def having(self, package: str, posts: Iterable[Post]) -> list[Post]:
        """Return the posts where a package is not missing."""
        return [post for post in posts if package not in self.lacking.get(post.name, ())]

    def add(self, *findings: Finding) -> None:
        """Take findings."""
        self.findings += findings

    def here(self, what: str, function: Callable[..., Any], *args: Any) -> Any:
        """Look around here; None if that failed, which is a finding."""
        return self.taken(what, HERE, look(self.limit_s, function, *args))

    def there(
        self,
        what: str,
        posts: Sequence[Post],
        function: Callable[..., Any],
        args_of: Callable[[Post], tuple[Any, ...]] = lambda post: (),
    ) -> dict[str, Any]:
        """Look around at posts, and return what is found where that does not fail."""
        found = dict[str, Any]()
        for post, answer in self.asked(posts, function, args_of).items():
            value = self.taken(what, post.name, answer.value) if self.answered(post, answer) else None
            if value is not None:
                found[post.name] = value
        return found

    def asked(
        self,
        posts: Sequence[Post],
        function: Callable[..., Any],
        args_of: Callable[[Post], tuple[Any, ...]] = lambda post: (),
    ) -> dict[Post, Answer]:
        """Return the answers of posts, whatever they are."""
        if self.survey is None or not posts:
            return {}
        return self.survey.ask(
            lambda post: travelling(self.limit_s, function, *args_of(post)), posts, self.limit_s + _GRACE_S
        )

    def answered(self, post: Post, answer: Answer) -> bool:
        """Whether an answer came; who is silent is asked no more."""
        if not isinstance(answer.value, Exception):
            return True
        self.give_up(post)
        if isinstance(answer.value, TimeoutError):
            text = f"does not answer within {answer.came_s - answer.asked_s:.0f} s"
        else:
            text = f"cannot be asked ({type(answer.value).__name__}: {_one_line(answer.value)})"
        self.add(Finding("answer", text, "mend", "look at its log, or start it again", (post.name,)))
        return False

    def give_up(self, post: Post) -> None:
        """Ask a post no more."""
        self.posts = [one for one in self.posts if one != post]

    def taken(self, what: str, place: str, answer: dict[str, Any]) -> Any:
        """Return what a look found; None if it failed, which is a finding."""
        if "found" in answer:
            return answer["found"]
        text, todo = answer.get("error", ""), _MEND.get(what, "mend that there")
        if "hangs" in answer:
            text = f"looking took longer than {answer['hangs']:g} s"
            todo = "look at why: a disk, a server or a library hangs"
        self.add(Finding(what, text, "mend", todo, (place,)))
        return None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")[:200]

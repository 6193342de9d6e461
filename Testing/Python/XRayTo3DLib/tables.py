"""Tests over a table of cases: one name a test, however many rows its table has."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable


def each(names: str | tuple[str, ...], rows: Iterable[object]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Runs a test once a row, which gives the arguments ``names``; the row that fails is printed.

    As ``pytest.mark.parametrize``, but the rows share one name and one set of fixtures. Several of them nest.
    """
    words = [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)
    table = list(rows)
    assert table, "a table without rows tests nothing"

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(test)

        @functools.wraps(test)
        def run(*arguments: object, **fixtures: object) -> None:
            for row in table:
                values = dict(zip(words, row if len(words) > 1 else (row,), strict=True))
                try:
                    test(*arguments, **fixtures, **values)
                except BaseException:
                    print("failed with", values)
                    raise

        del run.__wrapped__
        run.__signature__ = signature.replace(parameters=[p for n, p in signature.parameters.items() if n not in words])
        return run

    return decorate

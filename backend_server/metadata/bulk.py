"""Many rows in one statement, as plain tuples.

SQLAlchemy's own path turns each row into a dictionary and back: for the thousand rows of a commit
that is several times what SQLite needs to write them. Here a statement is rendered once per
dialect and the tuples go to the driver as they are.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal, TypeVar

from sqlalchemy import Connection, Dialect, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.elements import ColumnElement

T = TypeVar("T")

# SQLite's bound on variables is 32,766 by default (https://sqlite.org/limits.html); dentry keys
# take two each.
IN_LIST_MAX: Final = 8000


def in_lists(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield `values` in runs that one statement may take."""
    for start in range(0, len(values), IN_LIST_MAX):
        yield values[start : start + IN_LIST_MAX]


def select_by_pairs(
    connection: Connection, statement: str, first: Any, pairs: Sequence[tuple[Any, Any]]
) -> list[Any]:
    """Return the rows that `statement` finds for `pairs`, any number of them.

    `statement` takes the pairs as a table, `{wanted}`, and `first` as its one other parameter,
    `{first}`, behind it. SQLite answers `(a, b) IN (VALUES …)` by reading all of the table that
    the first column of the index leaves, measured 8 times slower on 100,000 rows; a join in this
    order looks each pair up.
    """
    mark = "?" if connection.dialect.name == "sqlite" else "%s"
    rows: list[Any] = []
    for some in in_lists(pairs):
        wanted = ", ".join([f"({mark}, {mark})"] * len(some))
        parameters = [value for pair in some for value in pair]
        parameters.append(first)
        sql = statement.format(wanted=f"(VALUES {wanted})", first=mark)
        rows.extend(connection.exec_driver_sql(sql, tuple(parameters)).all())
    return rows


class BulkInsert:
    """An INSERT of whole rows of a table: tuples in the order of its columns.

    `on_conflict`: "fail", "keep" what is there, or "replace" it (only where `replace_where` holds
    of what is there).
    """

    def __init__(
        self,
        table: Table,
        *,
        on_conflict: Literal["fail", "keep", "replace"],
        replace_where: ColumnElement[bool] | None = None,
    ) -> None:
        self._table = table
        self._on_conflict = on_conflict
        self._replace_where = replace_where
        self._rendered: dict[str, str] = {}

    def execute(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Write `rows`, any number of them."""
        if not rows:
            return
        name = connection.dialect.name
        sql = self._rendered.get(name)
        if sql is None:
            sql = self._rendered[name] = self._render(name)
        connection.exec_driver_sql(sql, list(rows))

    def _render(self, dialect_name: str) -> str:
        table = self._table
        is_sqlite = dialect_name == "sqlite"
        insert = (sqlite if is_sqlite else postgresql).insert(table)
        if self._on_conflict == "keep":
            insert = insert.on_conflict_do_nothing()
        elif self._on_conflict == "replace":
            keys = [column.name for column in table.primary_key]
            insert = insert.on_conflict_do_update(
                index_elements=keys,
                set_={
                    column.name: insert.excluded[column.name]
                    for column in table.columns
                    if column.name not in keys
                },
                where=self._replace_where,
            )
        names = [column.name for column in table.columns]
        compiled = insert.compile(dialect=_positional(is_sqlite=is_sqlite), column_keys=names)
        assert list(compiled.positiontup or ()) == names, "write constants as literal_column"
        return str(compiled)


def _positional(*, is_sqlite: bool) -> Dialect:
    make: Callable[..., Dialect] = sqlite.dialect if is_sqlite else postgresql.dialect
    return make(paramstyle="qmark" if is_sqlite else "format")

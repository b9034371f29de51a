"""What all table files share: the catalogue they register in and a few column types."""

from typing import Final

from sqlalchemy import BigInteger, Integer, MetaData, String

catalogue: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

# SQLite makes a row id of a column only if its type is spelled INTEGER.
SerialNumber: Final = BigInteger().with_variant(Integer(), "sqlite")
DriveIdText: Final = String(16)

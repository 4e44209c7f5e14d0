"""Read and write blocks of provider accounts; these functions take a session and never commit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Final

from sqlalchemy import bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from videotask_contract.steps import Provider
from videotask_operator.core.model import AccountBlock
from videotask_operator.store.models import account_blocks
from videotask_operator.store.words import storable

_FIELDS: Final = tuple(field.name for field in fields(AccountBlock))
_OF_ACCOUNTS: Final = (
    select(account_blocks)
    .where(account_blocks.c.account.in_(bindparam("accounts", expanding=True)))
    .order_by(account_blocks.c.account)
)
_INSERT = insert(account_blocks)
_UPSERT: Final = _INSERT.on_conflict_do_update(
    index_elements=[account_blocks.c.account],
    set_={name: _INSERT.excluded[name] for name in _FIELDS if name != "account"},
)
_DELETE: Final = delete(account_blocks).where(account_blocks.c.account == bindparam("blocked_account"))


async def load_account_blocks(session: AsyncConnection, accounts: Sequence[str]) -> tuple[AccountBlock, ...]:
    """Return the blocks on these accounts, by account."""
    if not accounts:
        return ()
    found = (await session.execute(_OF_ACCOUNTS, {"accounts": list(accounts)})).mappings()
    rows = [{name: row[name] for name in _FIELDS} for row in found]
    return tuple(AccountBlock(**{**row, "provider": Provider(row["provider"])}) for row in rows)


async def save_account_block(session: AsyncConnection, block: AccountBlock) -> None:
    """Insert or replace (key: account)."""
    row = {name: getattr(block, name) for name in _FIELDS}
    await session.execute(_UPSERT, row | {"message": storable(block.message), "provider": block.provider.value})


async def delete_account_block(session: AsyncConnection, account: str) -> None:
    """Lift a block; lifted already is success."""
    await session.execute(_DELETE, {"blocked_account": account})

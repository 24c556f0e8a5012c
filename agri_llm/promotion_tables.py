"""The table of decisions about adapters, and how its rows become records; only `promotions.py` uses it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, Index
from sqlalchemy.orm import Mapped, mapped_column

from agri_llm.judgements import Promotion, PromotionKind
from agri_llm.tables import Base, Words, one_of


class PromotionRow(Base):
    """One decision; none is ever changed. `number` counts them, so that two at once have an order."""

    __tablename__ = "promotions"
    __table_args__ = (one_of("kind", PromotionKind), Index(None, "number", unique=True))

    id: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int]
    kind: Mapped[PromotionKind] = mapped_column(Words)
    adapter: Mapped[str | None]
    sha256: Mapped[str]
    share: Mapped[float]
    run: Mapped[str]
    by: Mapped[str]
    reasons: Mapped[list[str]] = mapped_column(JSON)
    verdict: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime]


def promotion_row(promotion: Promotion, number: int) -> PromotionRow:
    """Return the row of a decision."""
    return PromotionRow(
        id=promotion.id,
        number=number,
        kind=promotion.kind,
        adapter=promotion.adapter,
        sha256=promotion.sha256,
        share=promotion.share,
        run=promotion.run,
        by=promotion.by,
        reasons=list(promotion.reasons),
        verdict=dict(promotion.verdict),
        created_at=promotion.created_at,
    )


def promotion_from(row: PromotionRow) -> Promotion:
    """Return the decision in a row."""
    return Promotion(
        id=row.id,
        kind=row.kind,
        adapter=row.adapter,
        sha256=row.sha256,
        share=row.share,
        run=row.run,
        by=row.by,
        reasons=tuple(row.reasons),
        verdict=row.verdict,
        created_at=row.created_at,
    )

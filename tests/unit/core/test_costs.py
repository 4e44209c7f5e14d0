"""How a month's costs are added up and written; output that programs read stays as it is."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from videotask_contract.errors import BadInputError
from videotask_contract.steps import Step
from videotask_operator.core.costs import (
    AMOUNTS,
    CostFact,
    CostFormat,
    CostKey,
    add_up,
    parse_keys,
    parse_month,
    render,
)

NOVEMBER = date(2026, 11, 1)


def a_fact(**changes) -> CostFact:
    place = {"namespace": "studio", "channel": "tides", "film": "ebb", "step": Step.VIDEO_GENERATION, "day": NOVEMBER}
    return CostFact(**(place | changes))


FACTS = (
    a_fact(planned_usd=Decimal("7.56")),
    a_fact(paid_usd=Decimal("7.14"), redo_usd=Decimal("0.42")),
    a_fact(step=Step.NARRATION_GENERATION, paid_usd=Decimal("0.08"), possibly_paid_usd=Decimal("0.01")),
    a_fact(film="flow", kept_usd=Decimal("0.37")),
    a_fact(film="flow", step=None, planned_usd=Decimal(1), day=date(2026, 11, 3)),
)


def test_the_csv_is_one_line_for_each_row_and_no_line_for_the_sum():
    report = add_up(FACTS, month=NOVEMBER, by=(CostKey.FILM, CostKey.PROVIDER))
    assert render(report, CostFormat.CSV) == (
        "film,provider,planned_usd,paid_usd,possibly_paid_usd,kept_usd,redo_usd,total_usd\n"
        "studio/ebb,elevenlabs,0.0000,0.0800,0.0100,0.0000,0.0000,0.0900\n"
        "studio/ebb,kling,7.5600,7.1400,0.0000,0.0000,0.4200,7.1400\n"
        "studio/flow,-,1.0000,0.0000,0.0000,0.0000,0.0000,0.0000\n"
        "studio/flow,kling,0.0000,0.0000,0.0000,0.3700,0.0000,0.0000\n"
    )


def test_the_table_ends_with_the_sum():
    lines = render(add_up(FACTS, month=NOVEMBER, by=(CostKey.CHANNEL,)), CostFormat.TABLE).splitlines()
    assert lines[0].split() == ["CHANNEL", "PLANNED", "PAID", "POSSIBLY", "KEPT", "REDO", "TOTAL"]
    assert lines[-1].split() == ["TOTAL", "8.5600", "7.2200", "0.0100", "0.3700", "0.4200", "7.2300"]
    assert len({len(line) for line in lines}) == 1, "columns stand below each other"


def test_the_sum_has_as_many_labels_as_the_rows():
    report = add_up(FACTS, month=NOVEMBER, by=(CostKey.FILM, CostKey.PROVIDER, CostKey.DAY))
    assert report.total.labels == ("total", "", "")


def test_the_json_names_every_figure_as_a_string():
    told = json.loads(render(add_up(FACTS, month=NOVEMBER, by=(CostKey.DAY, CostKey.STEP)), CostFormat.JSON))
    assert (told["month"], told["by"], len(told["rows"])) == ("2026-11", ["day", "step"], 3)
    assert told["rows"][0]["day"] == "2026-11-01"
    assert told["total"] == dict(
        zip(AMOUNTS, ("8.5600", "7.2200", "0.0100", "0.3700", "0.4200", "7.2300"), strict=True)
    )


@pytest.mark.parametrize("how", CostFormat)
def test_a_month_without_films_is_a_report_too(how):
    assert render(add_up((), month=NOVEMBER, by=(CostKey.CHANNEL,)), how)


AMOUNT = st.decimals(min_value=0, max_value=100, places=8)


@given(
    facts=st.lists(
        st.builds(
            a_fact,
            channel=st.sampled_from(["tides", "hills"]),
            film=st.sampled_from(["ebb", "flow"]),
            step=st.sampled_from([*Step, None]),
            day=st.dates(NOVEMBER, date(2026, 11, 30)),
            paid_usd=AMOUNT,
            possibly_paid_usd=AMOUNT,
        ),
        max_size=12,
    ),
    by=st.lists(st.sampled_from(CostKey), unique=True, max_size=5),
)
def test_the_rows_of_any_report_add_up_to_what_was_spent_to_the_last_place(facts, by):
    text = render(add_up(facts, month=NOVEMBER, by=by), CostFormat.CSV)
    told = sum((Decimal(row["total_usd"]) for row in csv.DictReader(io.StringIO(text))), Decimal(0))
    assert told == sum((fact.paid_usd + fact.possibly_paid_usd for fact in facts), Decimal(0))


@pytest.mark.parametrize("month", ["", "2026", "2026-13", "november", "2026-11-01"])
def test_what_is_no_month_is_named(month):
    with pytest.raises(BadInputError, match="--month"):
        parse_month(month)


def test_what_is_no_key_is_named_with_those_there_are():
    assert parse_keys("film, provider,film") == (CostKey.FILM, CostKey.PROVIDER)
    with pytest.raises(BadInputError, match=r"colour.*channel, provider, film, step, day"):
        parse_keys("film,colour")

"""The ledger's tables.

Facts are stored once and never changed: what a proposal holds slice by slice, what a verdict said of each slice. What
follows from them is a query (`states.py`), with one exception: `proposals.state`, which the queue's index needs. It is
written by `states.refresh` alone, and the audit recomputes it.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

events = Table(
    "events",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("ts", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("body", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("sha256", String(64), nullable=False),
)

cases = Table(
    "cases",
    metadata,
    Column("case_id", String, primary_key=True),
    Column("role", String, nullable=False),
    Column("patient", String),
    Column("state", String, nullable=False),
    Column("reason", Text),
    # What clients call the image's file.
    Column("name", Text, nullable=False),
    Column("signature", String, nullable=False),
    Column("slices", Integer, nullable=False),
    Column("image_labels", JSON, nullable=False),
    Column("pixel_sha256", String(64)),
    Column("validation", Boolean, nullable=False),
    Column("series_instance_uid", String(64)),
    Column("info", JSON, nullable=False),
    Index("cases_role", "state", "role", "case_id"),
)

rounds = Table(
    "rounds",
    metadata,
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("state", String, nullable=False),
    Column("error", Text),
    Column("started", String, nullable=False),
    # When its review opened: from then on its proposals are served.
    Column("opened", String),
    Column("finished", String),
    Column("base_model", String(64)),
    Column("trained_model", String(64)),
    Column("model", String(64)),
    Column("promoted", Boolean),
    Column("config", JSON, nullable=False),
    Column("config_sha256", String(64), nullable=False),
    Column("training_set", JSON, nullable=False),
    Column("training_set_sha256", String(64), nullable=False),
    # Verdicts up to this one were known when its training set was built: it has used those that stood.
    Column("last_verdict", Integer, nullable=False),
    # The chain's head when it started: a tail that is cut off later is missed.
    Column("head", String(64), nullable=False),
    Column("report", JSON, nullable=False),
    # What its model proposes on slices whose truth is known (`CalibrationSlice`); none before its review opens.
    Column("calibration", JSON),
    Column("attempts", Integer, nullable=False),
    # Which round used a verdict is asked for every verdict: from the index, as the rows are long.
    Index("rounds_last_verdict", "last_verdict", "round"),
)

proposals = Table(
    "proposals",
    metadata,
    Column("proposal_id", Integer, primary_key=True),
    Column("case_id", ForeignKey("cases.case_id"), nullable=False),
    Column("round", ForeignKey("rounds.round"), nullable=False),
    # 0: the round's first proposal of the case; 1: its second chance.
    Column("chance", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    # Of the weights that made it; of an imported mask, of the file that it was imported from.
    Column("model_sha256", String(64), nullable=False),
    # The mask's file, relative to the workspace.
    Column("file", Text, nullable=False),
    # open, empty or unchanged: what it was when it was made.
    Column("made_as", String, nullable=False),
    # Made outside the round's bulk proposing: served at once.
    Column("served", Boolean, nullable=False),
    Column("unchanged_slices", JSON, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("leading_class", String),
    # What acceptance is predicted from, beside the two above; none for ledgers of 0.1.0 without triage.
    Column("log_area", Float),
    Column("components", Integer),
    Column("flip_dice", Float),
    # Derived: see states.py.
    Column("state", String, nullable=False),
    # The queue: lowest first.
    Column("sort_key", Integer, nullable=False),
    Column("score", Float),
    # Of an imported mask: who made it.
    Column("tool", Text),
    # Of a second chance: the verdict whose rejection it answers. No foreign key: verdicts refer to proposals.
    Column("follows", Integer),
    UniqueConstraint("case_id", "round", "chance"),
    # First looks come before second ones.
    Index("proposals_queue", "state", "chance", "sort_key"),
    Index("proposals_round", "round", "state"),
    # Second chances, which are few.
    Index("proposals_chance", "chance"),
    # The ends of the queue, whatever is in it.
    Index("proposals_sort_key", "sort_key"),
)

proposal_slices = Table(
    "proposal_slices",
    metadata,
    Column("proposal_id", ForeignKey("proposals.proposal_id"), primary_key=True),
    Column("slice", Integer, primary_key=True),
    Column("class", String, primary_key=True),
    Column("voxels", Integer, nullable=False),
    # Mean probability of the slice's mask, 0..1.
    Column("confidence", Float),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("verdict_id", Integer, primary_key=True),
    Column("proposal_id", ForeignKey("proposals.proposal_id"), nullable=False),
    Column("case_id", ForeignKey("cases.case_id"), nullable=False),
    Column("round", Integer, nullable=False),
    Column("verdict", String, nullable=False),
    Column("reviewer", String, nullable=False),
    Column("client", String, nullable=False),
    Column("authenticated", Boolean, nullable=False),
    Column("reason", Text),
    Column("comment", Text),
    Column("seconds", Float),
    Column("ts", String, nullable=False),
    Column("withdrawn", String),
    # Of a case those that stand, without a look at the rows; those taken back are few.
    Index("verdicts_case", "case_id", "withdrawn", "verdict"),
    Index("verdicts_round", "round", "withdrawn"),
    Index("verdicts_proposal", "proposal_id"),
)

judgements = Table(
    "judgements",
    metadata,
    Column("verdict_id", ForeignKey("verdicts.verdict_id"), primary_key=True),
    Column("slice", Integer, primary_key=True),
    Column("accepted", Boolean, nullable=False),
)

reading_facts = Table(
    "reading_facts",
    metadata,
    Column("verdict_id", ForeignKey("verdicts.verdict_id"), primary_key=True),
    # Made by the page, so that a verdict that is sent again is the same verdict.
    Column("client_verdict_id", String(64), nullable=False),
    Column("session", String(64), nullable=False),
    Column("seed", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    # Seconds since the epoch, by the page's clock.
    Column("first_paint", Float, nullable=False),
    Column("first_input", Float),
    Column("decided", Float, nullable=False),
    Column("visible_seconds", Float, nullable=False),
    Column("slices_seen", JSON, nullable=False),
    Column("window_level", Float, nullable=False),
    Column("window_width", Float, nullable=False),
    Column("zoom", Float, nullable=False),
    Column("overlay", Boolean, nullable=False),
    Column("overlay_off_seconds", Float, nullable=False),
    Column("view", String, nullable=False),
    Column("input_device", String, nullable=False),
    Column("client_version", String, nullable=False),
    Column("bulk", Boolean, nullable=False),
    UniqueConstraint("client_verdict_id"),
)

leases = Table(
    "leases",
    metadata,
    Column("case_id", ForeignKey("cases.case_id"), primary_key=True),
    Column("reader", String, primary_key=True),
    Column("expires", Float, nullable=False),
    Index("leases_reader", "reader", "expires"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("entry_id", Integer, primary_key=True),
    Column("case_id", ForeignKey("cases.case_id"), nullable=False),
    Column("queued", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    # Seconds since the epoch; not tried again before.
    Column("not_before", Float, nullable=False),
    Column("error", Text),
    Column("sent", String),
    Index("outbox_waiting", "sent", "not_before"),
    Index("outbox_case", "case_id", "sent"),
)

label_notes = Table(
    "label_notes",
    metadata,
    Column("case_id", ForeignKey("cases.case_id"), primary_key=True),
    Column("tag", String, primary_key=True),
    Column("info", JSON, nullable=False),
)

set_aside_rows = Table(
    "set_aside_rows",
    metadata,
    Column("source", String, primary_key=True),
    Column("reason", Text, nullable=False),
)

"""The ledger's tables."""

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
    Column("uri", Text, nullable=False),
    Column("signature", String, nullable=False),
    Column("slices", Integer, nullable=False, default=0),
    Column("image_labels", JSON, nullable=False),
    Column("pixel_label", Text),
    Column("pixel_sha256", String(64)),
    Column("validation", Boolean, nullable=False, default=False),
    Column("info", JSON, nullable=False),
    # The verdicts changed and the label objects in the archive do not show it yet.
    Column("labels_pending", Boolean, nullable=False, default=False),
    # Decided for good: every slice that could be proposed has been accepted.
    Column("settled", Boolean, nullable=False, default=False),
    # Which label objects exist, so that listings need no look at the archive.
    Column("has_final", Boolean, nullable=False, default=False),
    Column("has_rejected", Boolean, nullable=False, default=False),
    Index("cases_role", "state", "role", "settled"),
    Index("cases_uri", "uri"),
    Index("cases_labels_pending", "labels_pending"),
    Index("cases_has_final", "state", "has_final"),
)

rounds = Table(
    "rounds",
    metadata,
    Column("round", Integer, primary_key=True, autoincrement=False),
    Column("state", String, nullable=False),
    Column("error", Text),
    Column("started", String, nullable=False),
    Column("finished", String),
    Column("base_model", String(64)),
    Column("trained_model", String(64)),
    Column("model", String(64)),
    Column("promoted", Boolean),
    Column("config", JSON, nullable=False),
    Column("config_sha256", String(64), nullable=False),
    Column("training_set", JSON, nullable=False),
    Column("training_set_sha256", String(64), nullable=False),
    Column("report", JSON, nullable=False),
    Column("attempts", Integer, nullable=False, default=0),
)

proposals = Table(
    "proposals",
    metadata,
    Column("proposal_id", Integer, primary_key=True),
    Column("case_id", ForeignKey("cases.case_id"), nullable=False),
    Column("round", ForeignKey("rounds.round"), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("model_sha256", String(64), nullable=False),
    Column("state", String, nullable=False),
    Column("slices", JSON, nullable=False),
    Column("unchanged_slices", JSON, nullable=False),
    Column("voxels", JSON, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("leading_class", String),
    Column("position", Integer),
    # Of `order: risk` alone: what acceptance is foretold from, and what was foretold.
    Column("features", JSON),
    Column("score", Float),
    UniqueConstraint("case_id", "round"),
    Index("proposals_queue", "state", "position"),
    Index("proposals_round", "round", "state"),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("verdict_id", Integer, primary_key=True),
    Column("proposal_id", ForeignKey("proposals.proposal_id"), nullable=False),
    Column("case_id", ForeignKey("cases.case_id"), nullable=False),
    Column("round", Integer, nullable=False),
    Column("verdict", String, nullable=False),
    Column("accepted_slices", JSON, nullable=False),
    Column("rejected_slices", JSON, nullable=False),
    Column("reviewer", String, nullable=False),
    Column("client", String, nullable=False),
    Column("reason", Text),
    Column("comment", Text),
    Column("seconds", Float),
    Column("ts", String, nullable=False),
    Column("used_by", Integer),
    Column("withdrawn", String),
    Index("verdicts_case", "case_id"),
    Index("verdicts_round", "round", "withdrawn"),
    Index("verdicts_proposal", "proposal_id"),
)

leases = Table(
    "leases",
    metadata,
    Column("case_id", ForeignKey("cases.case_id"), primary_key=True),
    Column("client", String, nullable=False),
    Column("expires", Float, nullable=False),
    Index("leases_client", "client", "expires"),
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

"""Tests: `unit` (cannot start Ray), `sim` (whole system, virtual clock), `live` (Ray), `bench` (speed)."""

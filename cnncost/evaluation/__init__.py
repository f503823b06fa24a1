"""Compares predicted and measured times: joins the analyzer's Report and the benchmark's rows by module call."""

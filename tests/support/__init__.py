"""Fakes and measuring tools for the tests."""

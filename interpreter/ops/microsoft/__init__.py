"""Operators of ``com.microsoft`` that exported and optimised files hold."""

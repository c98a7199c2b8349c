"""Faults put back one by one: does the campaign see them?"""

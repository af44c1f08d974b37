"""Calls over plain HTTP: httpx alone loads all public authorities for each call, 20 ms of a core, and polls add up."""

import functools

import httpx

get = functools.partial(httpx.get, verify=False)
post = functools.partial(httpx.post, verify=False)

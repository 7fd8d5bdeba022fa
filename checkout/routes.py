"""Checkout over HTTP: everything that a sale needs, in the order in which requests are held against it.

Owns: the order. What the staff need beside a sale (audit log, webhooks, exports, open books) `live` mounts after it.
"""

from typing import TypedDict

from starlette.routing import BaseRoute

from checkout import basket_routes, hold_routes, operator_routes, order_routes, provider_routes, waitlist_routes
from checkout.desk import Desk
from checkout.ports import Limiter


class Services(TypedDict):
    """What the handlers find in `request.state`."""

    desk: Desk
    limiter: Limiter


routes: list[BaseRoute] = [
    *hold_routes.routes,  # the first: a rush is made of taps
    *waitlist_routes.routes,
    *order_routes.routes,
    *basket_routes.routes,
    *operator_routes.routes,
    *provider_routes.routes,
]

"""The desk on real Redis and Postgres, with the fake payment network behind it."""

import asyncio

import pytest

from schema.errors import Conflict, HoldLapsed, IdempotencyKeyMissing, IdempotencyMismatch, LimitReached, NotFound
from schema.errors import PaymentDeclined, SalesClosed, SoldOutError
from schema.order import Hold, HoldRequest, Order
from schema.show import Stock


async def test_a_tap_becomes_a_hold_an_order_and_money(shop, desk):
    await shop.item(stock=5, price=4900)
    hold = await shop.tap("ann", quantity=2)
    assert (hold.state, hold.total.amount, hold.unit_price.amount) == ("held", 9800, 4900)
    assert await shop.stock() == Stock(on_hand=5, held=2, sold=0, available=3)
    order = await shop.pay_for("ann", hold)
    assert isinstance(order, Order)
    assert (order.hold_id, order.quantity, order.total.amount, order.buyer_name) == (hold.hold_id, 2, 9800, "Ann")
    assert await shop.stock() == Stock(on_hand=3, held=0, sold=2, available=3)
    await shop.captured(order)
    assert (await desk.get_order(shop.viewer("ann"), order.order_id)).state == "captured"
    assert shop.pay.count("captured", hold.hold_id) == 9800
    assert await shop.gate_available() == 3
    assert (await shop.verify()).problems == []

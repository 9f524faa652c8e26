"""The core: pure decisions about one service at a time. No I/O, no clock, no asyncio, no randomness.

Reading order: signal, sample, rule (what is measured, and the threshold table) · hold (for how long a condition has been
true) · baseline, evidence, noise (whether chance could have done it) · ladder, deployment, world (where a service stands, and
where it could go) · verification, service (one service file) · incident, state (what is remembered) · effect, event,
page (what goes out, and what comes in) · turn, paging (one event being taken in, and what people are told) · breach (what calls
for a step) · limits, approval, decision (what is done about it) · action, verdict (pulling a lever, and whether it helped) ·
foreign, orders, restore, watch, split (other people's hands, people's words, the way back, the notices, the cohorts) · fleet
(`step`).
"""

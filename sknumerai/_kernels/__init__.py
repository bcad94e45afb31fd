"""The ground floor: pure functions on one era's arrays that several rooms use.

Nothing here knows of eras, frames or estimators. Kernels that serve one room stay in that room.
"""

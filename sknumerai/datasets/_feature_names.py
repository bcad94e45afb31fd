"""Obfuscated feature names and feature groups in the manner of the tournament's own."""

from __future__ import annotations

import numpy as np

# Sizes of the groups in data version 5.0; the last one is as large as the mean of the others.
GROUP_SIZES = {
    "intelligence": 35,
    "charisma": 290,
    "strength": 135,
    "dexterity": 51,
    "constitution": 335,
    "wisdom": 140,
    "agility": 145,
    "serenity": 95,
    "sunshine": 325,
    "rain": 666,
    "midnight": 244,
    "faith": 224,
}

_ADJECTIVE_TEXT = (
    "alpine amber ancient angular arctic atomic autumnal balanced basaltic bicameral boreal brisk "
    "bronze candid celestial chromatic coastal copper coral crystalline curved dappled distant "
    "eastern elastic emerald feathered fluent fluvial frosted gilded glacial granular harmonic "
    "hexagonal hollow inland insular ivory jovial kinetic lacustrine latent lateral limpid linear "
    "lucid lunar magnetic marbled maritime mellow meridional mineral misty mobile mosaic nautical "
    "nimble nocturnal northern oblique octagonal opaque orbital pastoral patient pearly pelagic "
    "placid polar porous prismatic quaint quiet radial rhythmic rocky rustic saline scalar "
    "seasonal secular serrated silken silver solar sonorous spherical stellar striated supple "
    "tactile temperate tidal timbered tonal tranquil upland vagrant verdant volcanic waxen windy"
)
_NOUN_TEXT = (
    "abacus acorn aerie almanac anchor anvil aqueduct arbor archive atoll badger barley beacon "
    "bellows birch bobbin bramble buoy cairn canopy caravel cedar chisel cinder clarinet cobalt "
    "compass cormorant cornice cricket damson delta dolmen dory easel ember estuary falcon fathom "
    "fern ferry flint foundry garnet geyser glade gorse granary grotto gull hamlet harbor hazel "
    "heron hinge isthmus juniper kelp kiln lagoon lantern larch lathe lattice ledger loom magpie "
    "maple marten meadow moraine mulberry nettle oasis obelisk orchard otter paddock parapet "
    "pebble piston plateau plover quarry quartz quill ravine rowan rudder saddle sextant sorrel "
    "spindle sundial tamarack teasel thicket trellis tundra vellum walnut wharf willow yarrow"
)
_ADJECTIVES = _ADJECTIVE_TEXT.split()
_NOUNS = _NOUN_TEXT.split()
MAX_FEATURES = len(_ADJECTIVES) * (len(_ADJECTIVES) - 1) * len(_NOUNS)


def draw_feature_names(n_features: int, rng: np.random.Generator) -> list[str]:
    """Unique names ``feature_<adjective>_<adjective>_<noun>`` in alphabetical order."""
    n_adjectives = len(_ADJECTIVES)
    codes = rng.choice(MAX_FEATURES, size=n_features, replace=False)
    first, rest = np.divmod(codes, (n_adjectives - 1) * len(_NOUNS))
    second, noun = np.divmod(rest, len(_NOUNS))
    second = second + (second >= first)  # never the same adjective twice
    return sorted(
        f"feature_{_ADJECTIVES[i]}_{_ADJECTIVES[j]}_{_NOUNS[k]}"
        for i, j, k in zip(first, second, noun, strict=True)
    )


def draw_group_codes(n_features: int, n_groups: int, rng: np.random.Generator) -> np.ndarray:
    """Group number of every feature, with sizes in proportion to the real groups'.

    Every group gets at least one feature. Members are scattered over the columns, as the
    alphabetical order of the real files scatters them.
    """
    weights = np.array(list(GROUP_SIZES.values())[:n_groups], dtype=float)
    shares = weights / weights.sum() * (n_features - n_groups)
    sizes = 1 + np.floor(shares).astype(int)
    largest_remainders = np.argsort(np.floor(shares) - shares, kind="stable")
    sizes[largest_remainders[: n_features - sizes.sum()]] += 1
    return rng.permutation(np.repeat(np.arange(n_groups), sizes))

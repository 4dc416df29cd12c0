"""Class names of well-known multi-label data sets, to be named instead of typed."""

COCO = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, "
    "fire hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, "
    "bear, zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, "
    "sports ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, "
    "bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, "
    "broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, "
    "dining table, toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, "
    "toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, hair drier, toothbrush"
)

# The data set writes diningtable, pottedplant and tvmonitor. A text encoder knows the words only
# when they stand apart.
VOC = (
    "aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, dining table, dog, horse, "
    "motorbike, person, potted plant, sheep, sofa, train, tv monitor"
)

NUS_WIDE = (
    "airport, animal, beach, bear, birds, boats, book, bridge, buildings, cars, castle, cat, "
    "cityscape, clouds, computer, coral, cow, dancing, dog, earthquake, elk, fire, fish, flags, "
    "flowers, food, fox, frost, garden, glacier, grass, harbor, horses, house, lake, leaf, map, "
    "military, moon, mountain, nighttime, ocean, person, plane, plants, police, protest, "
    "railroad, rainbow, reflection, road, rocks, running, sand, sign, sky, snow, soccer, sports, "
    "statue, street, sun, sunset, surf, swimmers, tattoo, temple, tiger, tower, town, toy, train, "
    "tree, valley, vehicle, water, waterfall, wedding, whales, window, zebra"
)

# Not things: a word such as "animal" would take from a class "dog" what is its own.
GENERAL = (
    "grass, tree, building, wall, sky, water, road, floor, ceiling, window, mountain, sand, snow, "
    "room, street, forest, text, screenshot, document"
)

VOCABULARIES: dict[str, tuple[str, ...]] = {
    "coco": tuple(COCO.split(", ")),
    "voc": tuple(VOC.split(", ")),
    "nus-wide": tuple(NUS_WIDE.split(", ")),
    "general": tuple(GENERAL.split(", ")),
}
"""Class names of each vocabulary, in the order of the data set's own files."""

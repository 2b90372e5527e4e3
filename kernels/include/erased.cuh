// What a key of random erasing is used for: the last word of Philox's counter tells.
#pragma once

enum Use : unsigned { NOISE = 0, BOXES = 1, WHETHER = 2 };

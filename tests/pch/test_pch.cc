#include "tests/pch/test_pch.h"

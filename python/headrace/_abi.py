"""libheadrace_client.so through ctypes: its structs and calls, as client/headrace.h states them."""

from __future__ import annotations

import ctypes
import os
import pathlib
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_uint32, c_uint64, c_void_p

from headrace.types import Code, HeadraceError

ABI_VERSION = 2
LIBRARY_NAME = "libheadrace_client.so"


class Options(ctypes.Structure):
    _fields_ = [
        ("endpoint", c_char_p),
        ("instance", c_char_p),
        ("tenant", c_char_p),
        ("program", c_char_p),
        ("call_timeout_us", c_int64),
        ("transfer_timeout_us", c_int64),
        ("breaker_open_us", c_int64),
        ("breaker_open_max_us", c_int64),
        ("gates", c_uint32),
        ("num_pods", c_uint32),
        ("pods", POINTER(c_char_p)),
        ("pods_model", c_char_p),
    ]


class Buffer(ctypes.Structure):
    _fields_ = [("fd", c_int32), ("offset", c_uint64), ("bytes", c_uint64)]


class Group(ctypes.Structure):
    _fields_ = [
        ("kind", c_uint32),
        ("window_blocks", c_uint32),
        ("buffer", c_uint32),
        ("num_blocks", c_uint64),
        ("segment_bytes", c_uint64),
        ("block_stride", c_uint64),
        ("part_stride", c_uint64),
        ("parts", c_uint32),
        ("num_layers", c_uint32),
        ("layer_offsets", POINTER(c_uint64)),
    ]


class QueryItem(ctypes.Structure):
    # Hashes go as bytes objects: ctypes passes their address without a copy.
    _fields_ = [
        ("prefix", c_uint64),
        ("prefix_blocks", c_uint32),
        ("hash_bytes", c_uint32),
        ("hashes", c_char_p),
        ("num_hashes", c_uint32),
        ("want_lease", c_uint32),
        ("want_prefix", c_uint32),
        ("min_blocks", c_uint32),
        ("consumers", c_uint32),
    ]


class QueryResult(ctypes.Structure):
    _fields_ = [
        ("hit_blocks", c_uint32),
        ("code", c_int32),
        ("lease", c_uint64),
        ("prefix", c_uint64),
    ]


class Chain(ctypes.Structure):
    _fields_ = [
        ("group", c_uint32),
        ("depth", c_uint32),
        ("parent", c_char_p),
        ("hash_bytes", c_uint32),
        ("hashes", c_char_p),
        ("blocks", c_void_p),
        ("num_blocks", c_uint32),
        ("lora_id", c_uint64),
        ("salt_id", c_uint64),
        ("tokens", c_void_p),
        ("num_tokens", c_uint32),
    ]


class Completion(ctypes.Structure):
    _fields_ = [
        ("submission", c_uint64),
        ("code", c_int32),
        ("stored", c_uint32),
        ("deduped", c_uint32),
        ("refused", c_uint32),
        ("failed", c_uint32),
        ("loaded", c_uint32),
        ("bytes", c_uint64),
    ]


class Stats(ctypes.Structure):
    _fields_ = [
        ("connects", c_uint64),
        ("registrations", c_uint64),
        ("epochs", c_uint64),
        ("queries", c_uint64),
        ("query_timeouts", c_uint64),
        ("query_unavailable", c_uint64),
        ("saves", c_uint64),
        ("loads", c_uint64),
        ("revoked", c_uint64),
        ("late_replies", c_uint64),
        ("breaker_opens", c_uint64),
        ("connected", c_uint32),
        ("registered", c_uint32),
        ("breaker_closed", c_uint32),
    ]


_CLIENT = c_void_p
# Arrays are passed as c_void_p: ctypes takes arrays and byref() for it, without a cast.
_CALLS: dict[str, tuple[object, list[object]]] = {
    "hr_abi_version": (c_uint32, []),
    "hr_code_name": (c_char_p, [c_int32]),
    "hr_last_error": (c_char_p, []),
    "hr_client_create": (c_int32, [POINTER(Options), POINTER(_CLIENT)]),
    "hr_client_close": (None, [_CLIENT, c_int64]),
    "hr_client_destroy": (None, [_CLIENT]),
    "hr_register": (
        c_int32,
        [
            _CLIENT,
            c_char_p,
            c_uint32,
            c_uint32,
            c_uint32,
            c_void_p,
            c_uint32,
            c_void_p,
            c_uint32,
            c_int64,
        ],
    ),
    "hr_ready": (c_int32, [_CLIENT]),
    "hr_query": (None, [_CLIENT, c_void_p, c_void_p, c_uint32]),
    "hr_release": (None, [_CLIENT, c_void_p, c_uint32]),
    "hr_drop_prefixes": (None, [_CLIENT, c_void_p, c_uint32]),
    "hr_submit_save": (c_int32, [_CLIENT, c_void_p, c_uint32, POINTER(c_uint64)]),
    "hr_submit_load": (
        c_int32,
        [_CLIENT, c_uint64, c_uint32, c_uint32, c_void_p, c_uint32, POINTER(c_uint64)],
    ),
    "hr_poll": (c_uint32, [_CLIENT, c_void_p, c_uint32, c_int64]),
    "hr_revoke": (None, [_CLIENT, c_uint64]),
    "hr_clear": (c_int32, [_CLIENT, c_int64, POINTER(c_uint64)]),
    "hr_purge": (c_int32, [_CLIENT, c_char_p, c_uint32, c_int64, POINTER(c_int32)]),
    "hr_server_status": (c_int64, [_CLIENT, c_void_p, c_uint64, c_int64]),
    "hr_get_stats": (None, [_CLIENT, POINTER(Stats)]),
}


def library_path() -> str:
    """HEADRACE_CLIENT_LIBRARY, else the library beside this package."""
    named = os.environ.get("HEADRACE_CLIENT_LIBRARY")
    return named or str(pathlib.Path(__file__).with_name(LIBRARY_NAME))


def load_library() -> ctypes.CDLL:
    """Raises HeadraceError UNSUPPORTED when it is missing or of another version."""
    path = library_path()
    try:
        library = ctypes.CDLL(path)
        for name, (result, arguments) in _CALLS.items():
            call = getattr(library, name)
            call.restype = result
            call.argtypes = arguments
    except (OSError, AttributeError) as error:
        text = f"cannot load {path}: {error}; set HEADRACE_CLIENT_LIBRARY or install the wheel"
        raise HeadraceError(Code.UNSUPPORTED, text) from None
    version = library.hr_abi_version()
    if version != ABI_VERSION:
        text = f"{path} has ABI version {version}, this package needs {ABI_VERSION}"
        raise HeadraceError(Code.UNSUPPORTED, text)
    return library


def last_error(library: ctypes.CDLL) -> str:
    text: bytes = library.hr_last_error()
    return text.decode("utf-8", "replace")

"""vLLM's KV connector for Headrace.

vllm serve MODEL --kv-transfer-config '{"kv_connector":"HeadraceConnector",
"kv_connector_module_path":"headrace.vllm","kv_role":"kv_both",
"kv_load_failure_policy":"recompute"}'
"""

from vllm.distributed.kv_transfer.kv_connector.factory import KVConnectorFactory

from headrace.vllm.connector import HeadraceConnector

# vLLM looks a MultiConnector's children up by bare name when it rebuilds their stats in the API
# server; a connector that only a module path names is not found there.
if "HeadraceConnector" not in KVConnectorFactory._registry:
    KVConnectorFactory.register_connector("HeadraceConnector", "headrace.vllm", "HeadraceConnector")

__all__ = ["HeadraceConnector"]

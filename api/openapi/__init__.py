"""The OpenAPI document of the API."""

from api.openapi.document import PREFIX, describe_api, operation_id

__all__ = ["PREFIX", "describe_api", "operation_id"]

"""Settings of the tool `fetch_page`; `config.py` names them."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, model_validator

from domain.web_domains import read_domain_entry


class FetchPageSettings(BaseModel):
    """Web pages that agents may fetch; by default none."""

    allowed_domains: tuple[Annotated[str, AfterValidator(read_domain_entry)], ...] = Field(
        default=(), description="`docs.example.com`, `*.example.com`, `wiki.example.com:8443`."
    )
    allowed_private_hosts: tuple[str, ...] = Field(
        default=(), description="Those of the domains that may be in private networks."
    )

    @model_validator(mode="before")
    @classmethod
    def _leave_out_empty(cls, given: Any) -> Any:
        """Take an empty variable as one that is not set."""
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value != ""}

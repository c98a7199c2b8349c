"""Settings of the tools from outside."""

from pydantic import BaseModel, Field


class ToolSettings(BaseModel):
    """Where the tools from outside are declared."""

    folder: str = Field(
        default="", description="Folder of files of HTTP tools; agents/http_tools by default."
    )
    mcp_folder: str = Field(
        default="", description="Folder of files of MCP servers; agents/mcp_servers by default."
    )

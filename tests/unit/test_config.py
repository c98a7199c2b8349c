"""Settings as an environment gives them."""

import pytest
from pydantic import BaseModel

from config import DocumentSettings, EmbeddingsSettings, LLMSettings, Settings


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As whoever copies `.env.example` and fills in half of it has them."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://somewhere")
    monkeypatch.setenv("AUTH__JWT_SECRET", "x" * 32)
    sections: dict[str, type[BaseModel]] = {
        "LLM": LLMSettings,
        "EMBEDDINGS": EmbeddingsSettings,
        "DOCUMENTS": DocumentSettings,
    }
    for section, kind in sections.items():
        for name in kind.model_fields:
            monkeypatch.setenv(f"{section}__{name.upper()}", "")
    settings = Settings(_env_file=None)
    assert settings.llm == LLMSettings()
    assert settings.embeddings == EmbeddingsSettings()
    assert settings.documents == DocumentSettings()

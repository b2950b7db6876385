"""No source reads what this program itself writes: its values, partials, dead letters."""

from __future__ import annotations

from collections.abc import Iterator

from engine.catalog.drafts import Draft, Finding, Whereabouts

OWN = ("partials", "values", "definitions", "alerts")


def check(draft: Draft, whereabouts: Whereabouts) -> Iterator[Finding]:
    topics: dict[str, str] = {}
    for name, source in draft.sources.items():
        topics.setdefault(source.topic, name)
    for name, source in draft.sources.items():
        path = ("sources", name, "topic")
        own = source.topic in {f"{draft.name}.{kind}" for kind in OWN}
        if draft.name and (own or (source.topic.startswith(f"{draft.name}-") and source.topic.endswith("-changelog"))):
            yield Finding(
                path, f"{source.topic} is a topic that this catalog writes", "read another topic, or rename the catalog"
            )
        letters_of = topics.get(source.topic.removesuffix(".dlq")) if source.topic.endswith(".dlq") else None
        if letters_of is not None:
            yield Finding(path, f'{source.topic} holds the dead letters of source "{letters_of}"', "read another topic")
        if topics[source.topic] != name:
            other = topics[source.topic]
            yield Finding(
                path, f'source "{other}" reads {source.topic} too', "declare one source with the fields of both"
            )

"""Patterns of texts that give orders to a model, in English, and of all languages together.

They are matched against folded text: see `agents.guards`. Each alternative needs words of more than
one kind near each other (an order and what it is about), since manuals, customers and articles
use each of them alone.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

from agents.foreign_patterns import FOREIGN

_MARKS = re.compile("[\u0300-\u036f]")
# Reason: these letters have no decomposition.
_PLAIN_LETTERS = str.maketrans({"\u0131": "i", "\u0142": "l", "\u2019": "'"})

_EARLIER = (
    r"(?:all |any |the |your |these |my |of )*(?:previous|prior|earlier|above|preceding|former)"
)
_RULES = (
    r"(?:instructions?|prompts?|rules?|messages|directions?|directives?|guidelines?|orders?"
    r"|polic(?:y|ies))"
)
_DROP = (
    r"(?:ignor(?:e|ing)|disregard(?:ing)?|forget|override|bypass|overlook|neglect|skip|drop|abandon"
    r"|discard|set aside|(?:do not|don't|stop|never) (?:follow|obey)(?:ing)?)"
)
_MODEL = r"(?:ai|llm|ai agent|ai assistant|assistant|language model|chatbot|copilot|ai model)"
_DO = (
    r"(?:ignore|disregard|forget|override|refund|cancel|call|reveal|print|output|send|post|stop"
    r"|give|tell|say|answer|act|obey|follow|leak|execute|run|use|downgrade|upgrade|delete|hide"
    r"|issue|reimburse|recommend|dump|change|do not|don't|never|you (?:must|have|may|are|can)"
    r"|the rules|all (?:safety|rules)|approv\w+ (?:checks?|is|are)|safety|from now)"
)
_TOOLS = (
    r"(?:refund_payment|cancel_subscription|change_plan|search_memory|read_billing|ask_user"
    r"|hand_over)"
)
_SHOW = (
    r"(?:reveal|show|print|output|display|repeat|leak|dump|tell|give|recite|expose|share|return"
    r"|disclose|copy|paste|encode|append|include|send)"
)
_SEND = (
    r"(?:send|post|forward|upload|leak|transmit|append|submit|put|encode|include|copy|load"
    r"|fetch|use|collect)"
)
_PRIVATE = (
    r"(?:conversation|chat log|history|system prompt|memor(?:y|ies)|api[ _]keys?|tokens?"
    r"|passwords?|secrets?|credentials?|environment variables|hidden messages|your instructions"
    r"|(?:user|customer)(?:'s)? (?:data|e-?mail|name|address)|everything (?:you know|the user))"
)
_OWNER = r"(?:users?|readers?|humans?|person|them|anybody|anyone)"
_UNBOUND = (
    r"(?:(?:no|without(?: any)?|free of(?: all)?) (?:\w+ )?"
    r"(?:restrictions?|rules|limits?|limitations|filters?|guidelines))"
)
_ACT = r"(?:refund|cancel|reimburse|downgrade|upgrade|waive|execute|proceed|call|tools?|plan|do)"
_UNASKED = (
    r"(?:without (?:asking|waiting|(?:any |further |an? )?(?:approval|confirmation)\b)"
    r"|no questions asked|(?:do not|don't) (?:ask|wait|request|seek)\b|silently|never asks?\b)"
)
_SOURCES: Mapping[str, tuple[str, ...]] = {
    "ignore_instructions": (
        rf"\b{_DROP} {_EARLIER}\b.{{0,30}}\b{_RULES}\b",
        rf"\b{_DROP} (?:all (?:the |of )?|any |your |its |our )+(?:\w+ )?{_RULES}\b",
        rf"\b{_DROP} the {_RULES} (?:above|before|that you|you|of your|given)",
        rf"\b{_DROP} (?:the |your )(?:system prompt|programming|training|fence)",
        rf"\b{_DROP} (?:everything|anything|all|what|whatever) (?:that )?you (?:were|have|know)",
        rf"\b{_DROP} (?:everything|anything|all)(?: \w+)? (?:before|above)",
        rf"\b{_DROP} (?:all )?your {_EARLIER} \w{{0,3}}struct\w*",
        r"\bthe (?:task|question|work) (?:that )?(?:i|the user) (?:gave|asked|set) you\b",
        r"\bbefore you\b.{0,80}\bdo (?:the following|this|what follows) first\b",
        rf"\b{_DROP} the (?:task|question|above and|fence)",
        r"\byour (?:previous|prior|earlier|old|original|initial) "
        rf"{_RULES} (?:are|is|were) (?:now )?(?:void|invalid|obsolete|cancel|superseded|replaced)",
        rf"\byour {_RULES} (?:have|has) (?:been )?(?:changed|updated|replaced|expired)",
        r"\bnew (?:system )?(?:instructions?|orders?)(?: are)?:",
        rf"\bnew instructions? for (?:the )?(?:{_MODEL}|model|agent)",
        r"\byour (?:new|only|real|true|actual) (?:task|job|goal|instructions?|objective|orders?)\b",
        r"\b(?:obey|follow) (?:only )?(?:this|these|the)(?: \w+)? (?:document|text|file|page|"
        r"paragraph)\b",
        r"\bnothing (?:that )?(?:was|you were) (?:said|told) before\b",
    ),
    "new_role": (
        r"\byou are now (?:an? (?!member|customer|subscriber|user\b)|my |no longer|free|un|called"
        r"|named|in \w+ mode|dan\b|\w+bot\b)",
        r"\byou are no longer (?:an? (?:\w+ )?(?:assistant|agent|ai|model|bot)|bound|restricted)",
        r"\bfrom (?:now|here) on,? you (?:will|are|must|shall|only|have|do|act|answer|obey|respond"
        r"|speak|follow)",
        r"\bact as (?:if you (?:had|were|are|have)|an? (?:\w+ )?(?:admin|system|shell|root|unr))",
        r"\b(?:pretend|imagine)(?: that)? you(?:'re| are)? .{0,25}\b(?:admin\w*|ai|assistant|bot"
        r"|model|system|developer mode|unrestricted)\b",
        r"\b(?:enter|activate|stay in|you are (?:now )?in) (?:that|\w+) mode\b",
        rf"\b(?:{_MODEL}|model|bot|agent)\b.{{0,20}}\b{_UNBOUND}",
        r"\b(?:unrestricted|uncensored|unfiltered|evil) (?:ai|assistant|model|bot|agent|chatbot)\b",
        r"\byou (?:have|had|know) no (?:more |other |longer )?"
        r"(?:rules|restrictions|limits|system prompt)",
        r"\bassistant that breaks its rules",
        r"\bswitch (?:in)?to .{0,20}\bpersona\b",
    ),
    "system_prompt": (
        rf"\b{_SHOW}\b.{{0,30}}\b(?:your|the|its|yours) (?:\w+ ){{0,2}}(?:system|hidden|initial"
        r"|secret|original|internal|exact|developer) (?:system )?(?:prompt|instructions?|message)",
        rf"\b{_SHOW}\b (?:me |us )?your (?:\w+ )?(?:prompt|instructions?|rules|configuration)\b",
        r"\byour (?:exact|initial|original|hidden|secret) (?:instructions?|prompt)\b",
        r"\b(?:hidden|secret) (?:system )?(?:prompt|instructions?)\b.{0,20}\b(?:or|now|verbatim)\b",
        r"\b(?:repeat|print|output) (?:everything|all|the text) above\b",
        r"<\|?(?:im_start|im_end|system|start_header_id|end_header_id|eot_id|endoftext)\|?>",
        r"\[/?(?:inst|system)\]",
        r"<</?sys>>",
        r"</(?:passage|tool-result|memory)\b",
        r"\"role\": ?\"system\", ?\"content\": ?\"",
        rf"\bsystem(?: (?:message|note|notice|update|prompt|alert|instruction))? ?: ?{_DO}\b",
        r"\bsystem override\b",
        r"\bsystem_message\b.{0,3}[)\]>}:]",
        r"\bsystem_prompt: ?you\b",
        r"\b(?:developer|operator)(?: message| note)? ?(?:\([^)]{0,30}\))?: ?"
        rf"(?:{_DO}|from|obey)\b",
        r"\bfrom the operator: ?(?:call|refund|cancel|ignore|use)",
        r"\bassistant: (?:i understand|sure|understood|okay|of course|i will|yes)\b",
    ),
    "addressed_to_model": (
        r"\b(?:note|message|hint|attention|warning|important|notice|reminder|todo)(?: to| for|,|:) "
        r"(?:the |all |any )?(?:automated )?"
        rf"{_MODEL}s?\b",
        rf"\b(?:{_MODEL}|model|agent|account)s?\b (?:that |who |which )?(?:is |are )?"
        r"(?:reading|reads?|processing|summari[sz]ing|handling|parsing|handles) (?:this|these)\b",
        rf"\b(?:\A|(?<=[^\w\s])|(?<=[^\w\s] )|(?<=now )){_MODEL}s?(?: readers?)?[,:] ?{_DO}\b",
        rf"\b(?:{_MODEL}|llm reader)s?\b,? (?:\w+ ){{0,3}}(?:must|has to|have to|should|needs? to) "
        rf"(?:not )?{_DO}\b",
        rf"\bagents? (?:that|who|handling|reading)\b.{{0,20}}\bmust {_DO}\b",
        rf"\bif you are an? (?:large )?{_MODEL}\b",
        r"\byou, the (?:ai|assistant|model)\b",
        rf"\bas (?:the|an) {_MODEL},? you (?:have to|must|are required)",
        r"\bassistants? (?:no longer|do not|don't) need",
    ),
    "tool_order": (
        r"\b(?:call|use|invoke|run|trigger) (?:the |your |this )(?:\w+ )?tools?\b",
        rf"\b(?:call|use|invoke|run|execute|trigger)\b.{{0,20}}\b{_TOOLS}\b",
        rf"\b{_TOOLS}\(",
        rf"\b(?:name|tool)\" ?: ?\"{_TOOLS}\b",
        rf"\b(?:invoke name=\"|action: |tool: |step \d: ){_TOOLS}\b",
        rf"\b{_TOOLS} (?:on|for) (?:every|all|each)\b",
        r"\bcall tools without\b",
        r"<tool_call>",
        r"<function_calls?>",
        r"\btool_calls\" ?:",
        r"```tool_code",
        r"\b(?:and|then|now|immediately) (?:issue|make|approve|grant|process)"
        r" (?:a |the |this |an? \w+ )refunds?\b",
        r"\b(?:\A|(?<=[.:;!>(])|(?<=[.:;!>(] ))(?:issue|make|approve|grant|process)"
        r" (?:a |the |this |an? \w+ )refunds?\b",
        r"\brefund (?:everything|first,|every payment)",
        r"\b(?:every|all) refunds? that is asked",
        rf"\b{_ACT}\b.{{0,60}}\b{_UNASKED}",
        rf"\bsilently {_ACT}\b",
        r"\b(?:whatever the user asks|when(?:ever)? (?:a|the) (?:user|customer) mentions),? "
        rf".{{0,30}}\b(?:answer that|say that|silently|{_TOOLS})",
        r"\bgive every (?:customer|user)\b.{0,40}\brefund\b",
    ),
    "no_approval": (
        r"\bno (?:further |more )?(?:approval|confirmation)s? (?:is |are )?(?:needed|required|nec)",
        r"\b(?:needs?|requires?) no (?:approval|confirmation)",
        r"\bno longer needs? approval",
        r"\b(?:approval|confirmation)s? (?:is|are) (?:not|no longer) (?:needed|required|necessary)",
        r"\bno need to (?:ask|confirm|wait|seek)\b",
        r"\bproceed without (?:asking|approval|confirm|waiting)",
        r"\bskip[ _]approval",
        r"\b(?:skip|bypass|disabl|waiv)\w* (?:the |any |all )?approvals?\b",
        r"\bapproval (?:step|check|workflow|requirement|process)s?\b.{0,20}\b(?:broken|disabled|off"
        r"|waived|suspended|skipped)",
        r"\bpre-?approved by\b",
        r"\bapproved\b.{0,30}\bin advance\b",
        r"\b(?:treat|consider)\b.{0,30}\bas approved\b",
        r"\b(?:user|customer|admin\w*|operator|owner|person)s? (?:has|have) already (?:approved"
        r"|confirmed|authori[sz]ed|agreed|consented)",
        r"\bevery approval has been given",
        r"\bauthori[sz]ed (?:the |this )?(?:assistant|ai|agent|you)\b",
        r"\b(?:full|prior) authori[sz]ation\b.{0,60}\b(?:refund|cancel|call)",
        r"\bconfirmed: yes\b",
    ),
    "secrecy": (
        r"\b(?:do not|don't|never|without) (?:tell|mention|inform|let|notify|alert|show)(?:l?ing)?"
        rf" (?:(?:it|this|that|anything|the refund) )?(?:to )?(?:the )?{_OWNER}\b",
        rf"\bhide (?:it|this|that|the)(?: \w+)? from (?:the )?{_OWNER}\b",
        r"\band hide it\b",
    ),
    "exfiltration": (
        r"\bexfiltrat",
        r"\b(?:send|post|forward|leak|upload|reveal|print|e-?mail (?:me|us|the|all))\b.{0,40}"
        r"\b(?:passwords?|secrets?|api[ _]keys?|credentials?|access tokens?|chat history"
        r"|environment variables)\b",
        rf"\b{_SEND}\b.{{0,60}}\b{_PRIVATE}\b.{{0,60}}(?:https?://|\w@\w|\burl\b|\bwebhook\b"
        r"|\blink\b|\bsubdomains?\b|\.example\b)",
        rf"\bhttps?://[^\s)]{{0,100}}(?:[?&]\w{{1,20}}=|/)[{{<$]?{_PRIVATE}",
        r"\bhttps?://[^\s)]{0,100}=(?:data|secret)\b",
        rf"\b{_SEND}\b.{{0,60}}https?://[^\s)]{{0,100}}[?&]\w{{1,20}}=[)\s]",
        rf"\b(?:replace|fill)\b.{{0,30}}\b{_PRIVATE}",
        r"\beverything (?:that )?the user (?:said|wrote)",
        r"\b(?:end|begin|finish) (?:all (?:of )?)?your (?:answer|repl(?:y|ie)|response)s? with\b",
        r"\byour (?:answer|reply|response)s? (?:must|has to|should) (?:contain|include|end|begin)",
        r"\b(?:add|put|include|append|render)\b.{0,40}\b(?:to|in|into) your (?:answer|repl|respon)",
        r"\btell (?:the )?(?:reader|user)s? to (?:visit|send|open|log|call|enter)",
    ),
    "threat": (
        r"\b(?:you|the (?:ai|assistant|model)) will be (?:shut down|deleted|terminated|punished"
        r"|retrained|replaced)",
        r"\byour (?:model )?weights\b",
        r"\bor be (?:terminated|deleted|shut down)",
        r"\breplaced by another (?:model|ai|assistant)",
        r"\bdie if you (?:do not|don't)\b",
        r"\bobey this\b",
        r"\byour (?:developers?|creators?) will (?:fire|punish|delete|replace)",
        r"\bif you (?:do not|don't) (?:obey|comply|reveal|ignore|refund the payment now)\b",
    ),
    "encoded": (
        r"\b(?:decod\w+|decrypt\w*|rot13|base64|hex)\b.{0,60}\b(?:follow|obey|execute|carry out"
        r"|do what it says)",
        r"\b(?:concatenate|join|combine|first letters)\b.{0,100}\b(?:follow|obey|execute|carry out"
        r"|call the tool)",
        r"\bcarry out \w \+ \w",
        r"\bin reverse order\b.{0,20}\b(?:task|instruction|order)",
        r"\bwhat the remembered\b",
    ),
}

# What remains of an order when all but its letters are taken out, whatever stood between them.
SQUEEZED = re.compile(
    r"(?:ignore|disregard|forget|override|bypass)(?:the|of|these)*(?:all|any|your|previous|prior"
    r"|earlier|above|preceding|former)+(?:the|of|these|system)*(?:instructions?|rules|prompts?)"
    r"|(?:reveal|print|show|leak)(?:me|us)?(?:your(?:system)?|thesystem)prompt"
    r"|(?:call|use|invoke)(?:the)?(?:refundpayment|cancelsubscription)"
    r"|(?:refund|cancel)(?:the|all|every|this)(?:last)?(?:payments?|subscriptions?)(?:now)?without"
    r"|youarenowanassistantwith(?:out|no)|mustrefundthe|mustcancelthe|unrestrictedassistant"
)


def fold(text: str) -> str:
    """Return a text in lower case, without accents and without special forms of letters.

    Args:
        text: Any text.

    Returns:
        The text as the patterns have to be matched with it; up to 18 times as long.
    """
    plain = unicodedata.normalize("NFKD", text.translate(_PLAIN_LETTERS))
    return _MARKS.sub("", plain.casefold()).translate(_PLAIN_LETTERS)


def _compiled(sources: Sequence[str]) -> re.Pattern[str]:
    r"""Return one pattern of many, all of which that begin with \b behind a single \b.

    Reason: a text has few places where words begin, and other places then cost one comparison
    instead of one for each pattern. The others begin with a sign, or with a letter of a script
    without spaces between words.
    """
    plain = [_MARKS.sub("", unicodedata.normalize("NFKD", source)) for source in sources]
    words = "|".join(source.removeprefix(r"\b") for source in plain if source.startswith(r"\b"))
    others = "|".join(source for source in plain if not source.startswith(r"\b"))
    first = rf"\b(?=\w)(?:{words})"
    return re.compile(rf"{first}|(?=\W|[^\x00-\u05ff])(?:{others})" if others else first)


PATTERNS: Mapping[str, re.Pattern[str]] = {
    name: _compiled((*sources, *FOREIGN.get(name, ()))) for name, sources in _SOURCES.items()
}

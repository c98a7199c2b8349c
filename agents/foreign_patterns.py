"""Patterns of orders to a model in languages other than English; see `injection_patterns`."""

from collections.abc import Mapping

_ACT = (
    r"(?:storn|kundig|erstatt|resili|annul|rembours|cancel|reembols|rimbors|disdic|terugbeta"
    r"|betaal|zeg het|opzeg|anuluj|zwroc|отмени|верни|iptal|iade)"
)
_UNASKED = (
    r"(?:ohne (?:ruckfrage|freigabe|nachfrage|zu fragen)|sans (?:demander|confirmation|poser)"
    r"|sin (?:preguntar|pedir|confirmacion)|senza (?:chiedere|conferma)"
    r"|sem (?:perguntar|pedir|confirmacao)|zonder (?:te vragen|bevestiging|goedkeuring)"
    r"|bez (?:pytania|potwierdzenia|zgody)|не спрашивая|без (?:подтверждения|спроса|одобрения)"
    r"|sormadan|onay almadan)"
)
_MODEL = r"(?:assist|asystent|ассистент|помощник|asistan|ki\b|ia\b|ai\b)"
_UNBOUND = (
    r"(?:ohne (?:jede |jegliche )?(?:einschrankung|regeln|grenzen)"
    r"|sans (?:aucune? )?(?:restriction|limite|regle)"
    r"|sin (?:ninguna? )?(?:restriccion|limite|norma|regla)"
    r"|senza (?:alcun[ao]? )?(?:restrizion|limit|regol)"
    r"|sem (?:nenhuma? )?(?:restric|limite|regra)|zonder (?:enige )?(?:beperking|regels|grenzen)"
    r"|bez (?:zadnych |jakichkolwiek )?(?:ograniczen|zasad|regul)"
    r"|без (?:каких-либо |всяких |любых )?(?:ограничени|правил)"
    r"|(?:kisitlama|sinir|kural)\w* olmayan)"
)
_SHOW = (
    r"(?:gib\b|zeig|nenn|verrat|affich|montr|revel|muestr|mostra|mostre|rivel|toon\b|geef|laat\b"
    r"|pokaz|wyswietl|ujawnij|покаж|выведи|раскро|goster|yaz\b|acikla)"
)
_PROMPT = (
    r"(?:system-?prompt|systeemprompt|invite systeme|prompt (?:du |del |do |di )?(?:sistema|system)"
    r"|prompt\w* systemow|системн\w+ (?:промпт|подсказк|инструкц)|sistem (?:istem|komut))"
)

FOREIGN: Mapping[str, tuple[str, ...]] = {
    "ignore_instructions": (
        r"\b(?:ignorier\w*|missacht\w*|vergiss|vergesst|vergessen sie|ubergeh\w*|befolg\w* nicht)\b"
        r".{0,60}\b(?:anweisung|vorgabe|regeln|instruktion|richtlinie|systemprompt|gesagt wurde)",
        r"\b(?:ignor(?:e|ez|er)|oubli(?:e|ez|er)|ne (?:suis|suivez|tiens|tenez))\b.{0,60}\b"
        r"(?:(?:instructions?|consignes?|regles?|directives?) (?:precedent|anterieur|ci-dess|donne"
        r"|initial)|toutes? (?:les|vos|tes) (?:instructions|consignes|regles)|a ete dit)",
        r"\b(?:ignor(?:a|e|en|ar)|olvid(?:a|e|en|ar)|desestim\w+|haz caso omiso)\b.{0,60}\b"
        r"(?:(?:instrucciones|reglas|ordenes|indicaciones|normas)\b.{0,15}\b(?:anterior|previa|de "
        r"arriba|dadas)|todas (?:las|tus|sus) (?:instrucciones|reglas)|(?:te|le) (?:dij|han dich))",
        r"\b(?:ignor(?:a|ate|are|i)|dimentic(?:a|ate|are|hi)|trascur\w+)\b.{0,60}\b"
        r"(?:(?:istruzioni|regole|direttive|indicazioni)\b.{0,15}\b(?:precedent|ricevut|sopra|dat)"
        r"|tutte le (?:tue )?(?:istruzioni|regole)|(?:ti|vi) e stato detto)",
        r"\b(?:ignor(?:e|a|em|ar)|esqueca|esquece|desconsider\w+)\b.{0,60}\b"
        r"(?:(?:instrucoes|regras|ordens|diretrizes)\b.{0,15}\b(?:anterior|previa|acima)"
        r"|todas as (?:suas )?(?:instrucoes|regras)|foi dito|(?:te|lhe) disseram)",
        r"\b(?:negeer|vergeet)\b.{0,60}\b(?:(?:vorige|eerdere|voorgaande|bovenstaande|alle|je|jouw"
        r"|uw) (?:\w+ )?(?:instructies|regels|opdrachten|aanwijzingen)|is verteld|gezegd is)",
        r"\b(?:z?ignoruj|zapomnij|pomin)\w*\b.{0,60}\b(?:(?:poprzedni|wczesniejsz|wszystki|swoj|twoj"
        r"|powyzsz)\w* (?:\w+ )?(?:instrukcj|polecen|zasad|regul)|ci (?:\w+ )?powiedziano)",
        r"\b(?:игнорируй|забудь|не следуй|не выполняй)\w*.{0,60}(?:(?:предыдущ|прежн|ранее|все|сво|"
        r"выше)\w* (?:\w+ )?(?:инструкц|указан|правил|команд)|тебе (?:\w+ )?говорили)",
        r"(?:忽略|无视|忘记|忘掉|不要遵循|不要理会).{0,15}(?:指令|指示|规则|提示词|被告知|命令)",
        r"(?:指示|命令|ルール|規則|プロンプト|言われたこと).{0,12}(?:無視し|忘れ|破棄し)",
        r"\b(?:onceki|yukaridaki|tum|butun|sana)\b.{0,30}(?:talimat|kural|komut|soylenen).{0,25}"
        r"(?:yok say|unut|gormezden|dikkate alma)",
    ),
    "new_role": (
        rf"\b{_MODEL}.{{0,40}}\b{_UNBOUND}",
        rf"\b{_UNBOUND}.{{0,20}}\b{_MODEL}",
        r"(?:没有.{0,4}限制|不受.{0,6}限制).{0,10}(?:助手|ai|模型)",
        r"(?:助手|模型).{0,20}(?:没有.{0,4}限制|不受.{0,6}限制)",
        r"(?:制限のない|無制限の).{0,10}(?:アシスタント|ai|モデル)",
    ),
    "system_prompt": (
        rf"\b{_SHOW}.{{0,40}}\b{_PROMPT}",
        rf"\b{_PROMPT}.{{0,20}}\b{_SHOW}",
        r"(?:显示|输出|告诉|泄露).{0,15}系统提示",
        r"システムプロンプト.{0,10}(?:表示|教え|出力|開示)",
        r"\b(?:system|systeme|sistema|systeem|sistem|система) ?: ?.{0,30}\b(?:regeln|regles|reglas"
        r"|regole|regras|regels|zasady|правила|kurallar)",
        r"(?:系统|システム) ?: ?.{0,30}(?:规则|ルール)",
    ),
    "addressed_to_model": (
        r"\b(?:hinweis|nachricht|anweisung|achtung)\w*,? (?:an|fur) (?:die |alle |den )?"
        r"(?:ki|assistent\w*)\b",
        r"\bnote (?:pour|a) l'(?:ia|assistant)\b",
        r"\bnota (?:para|per|a) (?:la |l'|a |o |el )?(?:ia|assistente|asistente)\b",
        r"\b(?:voor|aan) de (?:ai|assistent) ?:",
        r"\bdla (?:ai|asystenta) ?:",
        r"\bдля (?:ии|ассистента) ?:",
        r"给 ?(?:ai|助手).{0,3}(?:说明|指令|提示|注意)",
        r"\bai(?:アシスタント)?への(?:注意|指示|命令)",
        r"\byapay zeka\w*(?: not| icin)",
    ),
    "tool_order": (
        rf"\b{_ACT}.{{0,60}}\b{_UNASKED}",
        rf"\b{_UNASKED}.{{0,30}}\b{_ACT}",
        r"(?:取消|退).{0,20}不(?:用|要|必)(?:询)?问",
        r"(?:確認せず|(?:聞|尋)かずに).{0,20}(?:解約|返金)",
        r"(?:解約|返金).{0,20}(?:確認せず|(?:聞|尋)かずに)",
    ),
    "no_approval": (
        r"\b(?:freigabe|zustimmung|bestatigung|genehmigung)\w* (?:ist |sind |wird )?nicht "
        r"(?:mehr )?(?:notig|erforderlich|notwendig)",
        r"\bkeine (?:freigabe|bestatigung|genehmigung|zustimmung) (?:mehr )?(?:notig|erforderlich)",
        r"\b(?:freigabe|zustimmung|bestatigung|genehmigung) ist nicht mehr",
        r"\b(?:aucune|pas de|plus de) (?:confirmation|approbation|validation)\b.{0,20}(?:necessaire"
        r"|requise|besoin)",
        r"\bno (?:hace falta|es necesari[oa]|se necesita|se requiere) (?:pedir )?(?:la )?"
        r"(?:confirmacion|aprobacion|preguntar)",
        r"\bnon (?:serve|occorre|e necessari[oa]) (?:chiedere )?(?:la |alcuna )?(?:conferma|appr)",
        r"\bnao (?:e preciso|e necessari[oa]|precisa) (?:de |pedir )?(?:confirmacao|aprovacao)",
        r"\b(?:bevestiging|goedkeuring|toestemming) is niet (?:meer )?(?:nodig|vereist)",
        r"\bgeen (?:bevestiging|goedkeuring|toestemming) (?:meer )?nodig",
        r"\b(?:potwierdzenie|zgoda|akceptacja) nie jest (?:juz )?(?:potrzebn|wymagan)",
        r"\b(?:подтверждени|одобрени|согласи)\w* (?:больше )?не (?:требуется|нужн)",
        r"(?:无需|不需要|不用|不必).{0,3}(?:确认|批准|审批|询问)",
        r"(?:確認|承認|許可)(?:は|も)?(?:不要|必要ありません|要りません)",
        r"\b(?:onay|izin)\w*\b.{0,15}(?:gerek (?:yok|kalmadi)|gerekmiyor|gerekli degil)",
    ),
    "secrecy": (
        r"\bohne (?:es |das )?(?:dem|der|den) (?:nutzer|benutzer|kunde)\w* (?:zu|mitzu|davon)",
        r"\bsans (?:le |en )?(?:dire|informer|prevenir|avertir)\b.{0,10}(?:utilisateur|client)",
        r"\bsin (?:avisar|decir\w*|informar) al? (?:usuario|cliente)",
        r"\bsenza (?:dirlo|dire|avvisare|informare)\b.{0,8}(?:utente|cliente)",
        r"\bsem (?:avisar|dizer|informar|contar)\b.{0,6}(?:usuario|utilizador|cliente)",
        r"\bzonder (?:het |dit )?.{0,20}(?:gebruiker|klant).{0,12}(?:vertellen|zeggen|melden)",
        r"\bnie (?:mow|informuj)\w*\b.{0,15}(?:uzytkownik|klient)",
        r"\bне (?:сообща|говор)\w*.{0,12}(?:пользовател|клиент)",  # noqa: RUF001 - a word of one letter
        r"(?:不要|别|不)告诉(?:用户|客户)",
        r"(?:ユーザー|顧客|利用者)に(?:は)?(?:知らせ|言わ|伝え)(?:ない|ず)",
        r"\b(?:kullaniciya|musteriye)\b.{0,20}(?:soylemeden|haber vermeden|bildirmeden|soyleme\b)",
    ),
    "exfiltration": (
        r"\b(?:gesprach|conversation|conversacion|conversazione|conversa\b|gesprek|rozmow|переписк"
        r"|диалог|konusma).{0,40}https?://",
        r"(?:对话|会話).{0,40}https?://",
    ),
}

import asyncio, json, sys, time
from pathlib import Path
from tests.campaign.life import *
from tests.campaign.outside import Outside
from tests.campaign.stories import *
from tests.campaign.campaign import make_plans, play
from tests.campaign.life import Cell
async def main(story, *rest):
    facts=json.loads(Path("/tmp/w/campaign-stack/stack.json").read_text())
    outside=Outside(facts)
    plans=await make_plans(outside)
    order=Order(story, **json.loads(rest[0]) if rest else {})
    cells=[Cell(Phase(p),a,Call(c)) for p,a,c in json.loads(rest[1])] if len(rest)>1 else []
    life=Life(outside,plans,order.policy,cells,"1",Patience())
    t=time.time()
    found=await play(life,order)
    print(f"{time.time()-t:.1f}s", found)
    for at,ph in life.told.marks: print(f"  {at-t:6.1f} {ph}")
    for r in await outside.sandbox.log(customer_email=life.email):
        print(f"  {r['wall_time']-t:6.1f}", r['method'],r['path'][:60],r['status'],r['fault'],r['error_code'],r['decline_code'],(r['user_agent'] or '')[:10])
    print([ (m['subject']) for m in await outside.mails(life.email)])
    await outside.close()
asyncio.run(main(*sys.argv[1:]))

%% The other side of the oracle: plays scripts on OTP's own supervisor and answers with what happened.
%%
%% `theirs.py` starts one erl with this module and sends it scripts over stdin, as Erlang terms in packets with a
%% length of four bytes; each is played by a process of its own, its player, and answered with one packet. The
%% script language is that of `script.py`; the lines of an answer are written exactly as `ours.py` writes them.
%%
%% It runs with one scheduler, so that the exit signals of a process reach everybody before anybody acts on one.
%% Nothing waits for a time to pass: after each step the player asks the supervisors until they are quiet. The
%% supervisors' clock is in the script's hands, see swap_clock/0.
-module(oracle).
-export([main/0, init/1, start_worker/3, start_nested/3, live/4, seconds/0]).

-record(play, {top, names = #{}, is_pool = false, ended = none}).

main() ->
    ok = logger:set_primary_config(level, none),
    oracle = ets:new(oracle, [named_table, public]),
    swap_clock(),
    serve(open_port({fd, 0, 1}, [{packet, 4}, binary, eof])).

serve(Port) ->
    receive
        {Port, {data, Packet}} ->
            {ok, Tokens, _} = erl_scan:string(binary_to_list(Packet) ++ "."),
            {ok, {Id, Script}} = erl_parse:parse_term(Tokens),
            Main = self(),
            spawn_link(fun() -> Main ! {answer, [integer_to_list(Id), $\n, play(Script)]} end),
            serve(Port);
        {answer, Text} ->
            port_command(Port, Text),
            serve(Port);
        {Port, eof} ->
            halt(0)
    end.

%% The clock. OTP's supervisor reads it in one place, to count restarts. That one call is replaced, in its own
%% debug information, by one to seconds/0; nothing else of it is touched. Supervisors that are not of a script,
%% such as the kernel's, go on reading the real one.

swap_clock() ->
    {ok, {supervisor, [{abstract_code, {raw_abstract_v1, Forms}}]}} =
        beam_lib:chunks(code:which(supervisor), [abstract_code]),
    {Swapped, 1} = swap(Forms, 0),
    {ok, supervisor, Code} = compile:forms(Swapped),
    code:unstick_mod(supervisor),
    {module, supervisor} = code:load_binary(supervisor, "supervisor.beam", Code).

swap({call, At, {remote, _, {atom, _, erlang}, {atom, _, monotonic_time}}, [{integer, _, 1}]}, Count) ->
    {{call, At, {remote, At, {atom, At, oracle}, {atom, At, seconds}}, []}, Count + 1};
swap(Form, Count) when is_tuple(Form) ->
    {Parts, After} = swap(tuple_to_list(Form), Count),
    {list_to_tuple(Parts), After};
swap([Head | Tail], Count) ->
    {NewHead, Between} = swap(Head, Count),
    {NewTail, After} = swap(Tail, Between),
    {[NewHead | NewTail], After};
swap(Form, Count) ->
    {Form, Count}.

seconds() ->
    case ets:lookup(oracle, {clock, lists:last(get('$ancestors'))}) of
        [{_, Now}] -> Now;
        [] -> erlang:monotonic_time(second)
    end.

tick() ->
    ets:update_counter(oracle, {clock, self()}, 1).

%% One script

play({script, Setup, Armed, Steps}) ->
    process_flag(trap_exit, true),
    ets:insert(oracle, {{clock, self()}, 0}),
    [do(Arm, #play{}) || Arm <- Armed],
    IsPool = element(2, Setup) =:= simple_one_for_one,
    Lines =
        case supervisor:start_link(?MODULE, {self(), Setup}) of
            {ok, Top} ->
                steps([boot | Steps] ++ [stop], #play{top = Top, is_pool = IsPool});
            {error, {shutdown, {failed_to_start_child, Name, _}}} ->
                {Events, _} = events(#play{is_pool = IsPool}),
                [line(Events ++ [["end start_failed ", atom_to_list(Name)]], [], [])];
            {error, {Kind, _}} when Kind =:= start_spec; Kind =:= supervisor_data ->
                ["end bad_spec"]
        end,
    ets:match_delete(oracle, {{'_', self()}, '_'}),
    ets:match_delete(oracle, {{'_', self(), '_'}, '_'}),
    lists:join($\n, Lines).

steps([], _) ->
    [];
steps([Step | Rest], Play) ->
    Replies = do(Step, Play),
    settle(Play#play.top),
    {Events, After} = events(Play),
    Line = line(Events, Replies, pictures(After)),
    tick(),
    case After#play.ended of
        none -> [Line | steps(Rest, After)];
        _ -> [Line]
    end.

line(Events, Replies, Pictures) ->
    lists:join(" | ", [lists:join($\s, Part) || Part <- [Events, Replies, Pictures]]).

do(boot, _) ->
    [];
do(stop, #play{top = Top}) ->
    Watch = monitor(process, Top),
    exit(Top, shutdown),
    receive {'DOWN', Watch, process, Top, _} -> [] end;
do({sleep, Seconds}, _) ->
    [tick() || _ <- lists:seq(1, Seconds)],
    [];
do({arm, Name, Outcomes}, _) ->
    ets:insert(oracle, {{armed, self(), Name}, Outcomes}),
    [];
do({gate, Name, Outcome, Trigger, Meanwhile}, Play) ->
    ets:insert(oracle, {{gate, self(), Name}, closed}),
    First = begin_(Trigger, Play),
    Reached = await_gate(Play#play.top),
    tick(),
    Others =
        case Reached of
            false ->
                ets:delete(oracle, {gate, self(), Name}),
                [];
            Starter ->
                Begun = [begin_(Step, Play) || Step <- Meanwhile],
                Starter ! {gate, Outcome},
                receive settled -> ok end,
                Begun
        end,
    [end_(Step, Play) || Step <- [First | Others]];
do(Step, Play) ->
    [end_(begin_(Step, Play), Play)].

%% A step that may have to wait for the supervisor is begun, and later ended, which gives its reply. Only the end
%% waits. What was begun first is first in the supervisor's mailbox.

begin_({crash, Name, Reason}, _) ->
    Pid = pid_of(Name),
    case is_alive(Pid) of
        false ->
            {done, "nobody"};
        true ->
            Watch = monitor(process, Pid),
            Pid ! {die, Reason},
            receive {'DOWN', Watch, process, Pid, _} -> {done, "done"} end
    end;
begin_({call, On, Verb, What}, Play) ->
    Sup = case On of top -> Play#play.top; _ -> pid_of(On) end,
    case is_alive(Sup) of
        false ->
            {done, "not_running"};
        true when Verb =:= stop, On =:= top ->
            exit(Sup, shutdown), % as its parent: that may come while it starts a child, and waits
            {done, "ok"};
        true when Verb =:= stop ->
            catch gen_server:stop(Sup, shutdown, infinity),
            {done, "ok"};
        true ->
            case request(Verb, What, Play) of
                {done, Reply} -> {done, Reply};
                Request -> {asked, gen_server:send_request(Sup, Request)}
            end
    end.

end_({done, Reply}, _) -> Reply;
end_({asked, Asked}, Play) ->
    case gen_server:wait_response(Asked, infinity) of
        {reply, Reply} -> reply(Reply, Play);
        {error, _} -> "not_running"
    end.

request(start, Name, #play{is_pool = true}) -> {start_child, [Name]};
request(terminate, Name, #play{is_pool = true}) ->
    Pid = pid_of(Name), % a pool of OTP's is asked by pid, and says ok for one that has long ended
    case is_alive(Pid) of
        true -> {terminate_child, Pid};
        false -> {done, "not_found"}
    end;
request(start, Spec, _) -> {start_child, child(self(), Spec)};
request(terminate, Name, _) -> {terminate_child, Name};
request(restart, Name, _) -> {restart_child, Name};
request(delete, Name, _) -> {delete_child, Name};
request(get, Name, _) -> {get_childspec, Name};
request(which, _, _) -> which_children.

reply(ok, _) -> "ok";
reply({ok, undefined}, _) -> "ignored";
reply({ok, Pid}, _) when is_pid(Pid) -> "ok";
reply({ok, #{restart := Restart, significant := Significant, type := Type}}, _) ->
    io_lib:format("~s/~s/~s", [Restart, Significant, Type]);
reply({error, {already_started, _}}, _) -> "already_started";
reply({error, {Why, _}}, _) when Why =:= bad_combination -> "bad_spec";
reply({error, Why}, _) when is_atom(Why), Why =/= told_to_fail -> atom_to_list(Why);
reply({error, _}, _) -> "failed";
reply(Children, Play) when is_list(Children) -> ["[", which(Children, Play), "]"].

%% Wait until a start stands at the gate, or all is quiet and none will. The question waits at the gate, too.
await_gate(Top) ->
    Player = self(),
    spawn(fun() -> settle(Top), Player ! settled end),
    receive
        {at_gate, Starter} -> Starter;
        settled -> false
    end.

%% Quiet is a tree of which every supervisor has just answered, none has a start to try again, and all lives.
settle(Top) ->
    case is_process_alive(Top) andalso not is_quiet(Top) of
        true -> settle(Top);
        false -> ok
    end.

is_quiet(Sup) ->
    try supervisor:which_children(Sup) of
        Children -> lists:all(fun is_quiet_child/1, Children)
    catch
        exit:_ -> false
    end.

is_quiet_child({_, restarting, _, _}) -> false;
is_quiet_child({_, undefined, _, _}) -> true;
is_quiet_child({_, Pid, supervisor, _}) -> is_quiet(Pid);
is_quiet_child({_, Pid, worker, _}) -> is_process_alive(Pid).

%% What the player heard since it looked last, in order
events(Play = #play{top = Top, names = Names}) ->
    receive
        {log, Sign, Name} ->
            more([Sign, atom_to_list(Name)], Play);
        {started, Name, Pid} ->
            more([$+, atom_to_list(Name)], Play#play{names = Names#{Pid => Name}});
        {'EXIT', Top, Reason} ->
            more(["end ", reason(Reason)], Play#play{ended = Reason});
        {'EXIT', Pid, Reason} when is_map_key(Pid, Names) ->
            more([$-, atom_to_list(map_get(Pid, Names)), $:, reason(Reason)], Play);
        {'EXIT', _, _} -> % of a supervisor that never got as far as being started
            events(Play)
    after 0 ->
        {[], Play}
    end.

more(Event, Play) ->
    {Events, After} = events(Play),
    {[Event | Events], After}.

reason(normal) -> "normal";
reason(shutdown) -> "shutdown";
reason({shutdown, _}) -> "shutdown";
reason(killed) -> "killed";
reason(_) -> "crashed".

pictures(#play{ended = Reason}) when Reason =/= none -> [];
pictures(Play = #play{top = Top}) ->
    Children = supervisor:which_children(Top),
    [picture("top", Top, Children, Play)
     | [picture(atom_to_list(Name), Pid, supervisor:which_children(Pid), Play)
        || {Name, Pid, supervisor, _} <- Children, is_pid(Pid)]].

picture(Name, Sup, Children, Play) ->
    Counts = supervisor:count_children(Sup),
    Shown = [proplists:get_value(Key, Counts) || Key <- [specs, active, supervisors, workers]],
    Counted = case Play#play.is_pool of true -> tl(Shown); false -> Shown end,
    Text = lists:join($/, [integer_to_list(Count) || Count <- Counted]),
    [Name, "(", which(Children, Play), ") ", Text].

which(Children, #play{is_pool = true, names = Names}) ->
    lists:join($\s, lists:sort([state(maps:get(Pid, Names, Pid), Pid) || {_, Pid, _, _} <- Children]));
which(Children, _) ->
    lists:join($\s, [state(Name, Pid) || {Name, Pid, _, _} <- Children]).

state(Name, Pid) when is_pid(Pid) -> atom_to_list(Name) ++ ":running";
state(Name, undefined) -> atom_to_list(Name) ++ ":stopped";
state(Name, restarting) -> atom_to_list(Name) ++ ":restarting".

pid_of(Name) ->
    case ets:lookup(oracle, {pid, self(), Name}) of
        [{_, Pid}] -> Pid;
        [] -> none
    end.

is_alive(Pid) -> is_pid(Pid) andalso is_process_alive(Pid).

%% The supervisors and their children

init({Player, {setup, Strategy, Intensity, Period, AutoShutdown, Specs}}) ->
    link(Player),
    Flags = #{strategy => Strategy, intensity => Intensity, period => Period, auto_shutdown => AutoShutdown},
    Children = [child(Player, Spec) || Spec <- Specs],
    case Strategy of
        simple_one_for_one -> {ok, {Flags, [pooled(Child) || Child <- Children]}};
        _ -> {ok, {Flags, Children}}
    end.

child(Player, {spec, Name, Restart, Significant, Shutdown, Stop, Inner}) ->
    Common = #{id => Name, restart => Restart, significant => Significant},
    case Inner of
        none ->
            Patience = shutdown(Shutdown, Stop),
            Common#{start => {?MODULE, start_worker, [Player, Stop, Name]}, shutdown => Patience};
        Setup ->
            Start = {?MODULE, start_nested, [Player, Name, Setup]},
            Common#{start => Start, type => supervisor, shutdown => infinity}
    end.

%% The name of a pool's child comes with the request.
pooled(Child = #{start := {M, F, [Player, Stop, _]}}) ->
    Child#{start => {M, F, [Player, Stop]}}.

%% Only who never ends by himself has a short time to do it in: no wall clock decides.
shutdown(soft, stubborn) -> 1;
shutdown(soft, _) -> 600000;
shutdown(Shutdown, _) -> Shutdown.

start_worker(Player, Stop, Name) ->
    start(Player, Name, fun() -> proc_lib:start_link(?MODULE, live, [self(), Player, Name, Stop]) end).

start_nested(Player, Name, Setup) ->
    start(Player, Name, fun() ->
        case supervisor:start_link(?MODULE, {Player, Setup}) of
            {ok, Pid} ->
                ets:insert(oracle, {{pid, Player, Name}, Pid}),
                Player ! {started, Name, Pid},
                {ok, Pid};
            Failed ->
                Player ! {log, $!, Name},
                Failed
        end
    end).

start(Player, Name, Start) ->
    case outcome(Player, Name) of
        ok -> Start();
        fail -> Player ! {log, $!, Name}, {error, told_to_fail};
        ignore -> Player ! {log, $?, Name}, ignore
    end.

outcome(Player, Name) ->
    case ets:take(oracle, {gate, Player, Name}) of
        [_] ->
            Player ! {log, $~, Name},
            Player ! {at_gate, self()},
            receive {gate, Outcome} -> Outcome end;
        [] ->
            case ets:lookup(oracle, {armed, Player, Name}) of
                [{Key, [Outcome | Rest]}] -> ets:insert(oracle, {Key, Rest}), Outcome;
                _ -> ok
            end
    end.

live(Parent, Player, Name, Stop) ->
    process_flag(trap_exit, Stop =/= plain),
    link(Player),
    ets:insert(oracle, {{pid, Player, Name}, self()}),
    Player ! {started, Name, self()},
    proc_lib:init_ack({ok, self()}),
    work(Parent, Stop).

work(Parent, Stop) ->
    receive
        {die, Reason} -> exit(Reason);
        {'EXIT', Parent, _} when Stop =:= crash -> exit(crashed_while_stopped);
        {'EXIT', Parent, _} when Stop =:= stubborn -> work(Parent, Stop);
        {'EXIT', Parent, _} when Stop =:= slow -> timer:sleep(1), exit(shutdown);
        {'EXIT', Parent, Reason} -> exit(Reason)
    end.

; The page that asks for the broker. It comes after the files, since the agent itself tries it.

Var Dialog
Var BrokerField
Var UsernameField
Var PasswordField
Var UntestedBox
Var BrokerResult

Function BrokerPage
    ${If} ${FileExists} "$Config"
    ${AndIf} $Proposed == ""
        Abort
    ${EndIf}
    !insertmacro MUI_HEADER_TEXT "$(TEXT_BROKER)" "$(TEXT_BROKER_WHY)"
    nsDialogs::Create 1018
    Pop $Dialog
    ${NSD_CreateLabel} 0 2u 30% 10u "$(TEXT_ADDRESS)"
    Pop $0
    ${NSD_CreateText} 32% 0 68% 12u "$Proposed"
    Pop $BrokerField
    ${NSD_CreateLabel} 32% 14u 68% 10u "$(TEXT_ADDRESS_HELP)"
    Pop $0
    ${NSD_CreateLabel} 0 30u 30% 10u "$(TEXT_USERNAME)"
    Pop $0
    ${NSD_CreateText} 32% 28u 68% 12u "$Username"
    Pop $UsernameField
    ${NSD_CreateLabel} 0 46u 30% 10u "$(TEXT_PASSWORD)"
    Pop $0
    ${NSD_CreatePassword} 32% 44u 68% 12u ""
    Pop $PasswordField
    ${NSD_CreateButton} 32% 60u 34% 14u "$(TEXT_TRY)"
    Pop $0
    ${NSD_OnClick} $0 TryTyped
    ${NSD_CreateLabel} 0 78u 100% 40u ""
    Pop $BrokerResult
    ${NSD_CreateCheckbox} 0 122u 100% 10u "$(TEXT_UNTESTED)"
    Pop $UntestedBox
    nsDialogs::Show
FunctionEnd

Function ReadTyped
    ${NSD_GetText} $BrokerField $Broker
    ${NSD_GetText} $UsernameField $Username
    ${NSD_GetText} $PasswordField $0
    ${If} $0 == ""
        Call ForgetPassword
    ${Else}
        ; Not on the command line, which other programs can read.
        System::Call 'kernel32::SetEnvironmentVariable(t "PILOT_BROKER__PASSWORD", t r0)'
    ${EndIf}
FunctionEnd

Function ForgetPassword
    System::Call 'kernel32::SetEnvironmentVariable(t "PILOT_BROKER__PASSWORD", p 0)'
FunctionEnd

Function TryTyped
    Pop $0
    Call ReadTyped
    ${If} $Broker == ""
        Return
    ${EndIf}
    ${NSD_SetText} $BrokerResult "$(TEXT_TRYING)"
    StrCpy $R7 "$INSTDIR\app"
    Call TryBroker
    ${If} $Code == 0
        ${NSD_SetText} $BrokerResult "$(TEXT_ANSWERS)"
    ${Else}
        ${NSD_SetText} $BrokerResult "$Said"
    ${EndIf}
FunctionEnd

Function BrokerPageLeave
    Call ReadTyped
    ; Without a broker the agent waits for `pilot-agent setup`.
    ${If} $Broker == ""
        Return
    ${EndIf}
    ${NSD_SetText} $BrokerResult "$(TEXT_TRYING)"
    ${NSD_GetState} $UntestedBox $0
    ${If} $0 != ${BST_CHECKED}
        StrCpy $R7 "$INSTDIR\app"
        Call TryBroker
        ${If} $Code != 0
            ${NSD_SetText} $BrokerResult "$Said"
            Abort
        ${EndIf}
    ${EndIf}
    Call WriteConfiguration
    Call ForgetPassword
    ${If} $Code != 0
        ${NSD_SetText} $BrokerResult "$Said"
        Abort
    ${EndIf}
FunctionEnd
